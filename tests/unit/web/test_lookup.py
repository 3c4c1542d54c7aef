"""Who asks, by which URL, and what they find."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from starlette.requests import Request

from hypha_cluster.errors import BadRequest, InvalidToken, RedisUnavailable, WorkspaceNotFound
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity, Origin, own_workspace
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.web.lookup import Gatekeeper, Lookup, base_url_of, token_of
from tests.fake_redis import AWAY, FakeRedis

ANN = Identity("ann", is_anonymous=False)
PROVIDER = Provider("ann/me", "open", {}, True)


def request(*, scheme: str = "http", root_path: str = "", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": scheme,
            "root_path": root_path,
            "headers": named,
        }
    )


class Hub:
    """What a lookup asks, and what it was asked."""

    def __init__(self) -> None:
        self.wanted: list[Any] = []
        self.asked: list[tuple[list[str], int]] = []
        self.allowed: list[list[str]] = []

    async def identify(self, token: str | None) -> Identity:
        return ANN if token == "anns" else Identity("nobody")

    def sources(self, scope: Mapping[str, Any]) -> list[str]:
        return ["address"]

    def subjects(self, identity: Identity) -> list[str]:
        return [f"user {identity.id}"]

    def request(self, subjects: list[str], size: int) -> None:
        self.asked.append((subjects, size))

    def body(self, subjects: list[str], size: int) -> None:
        self.asked.append((subjects, size))

    def allowance(self, subjects: Sequence[str]) -> Allowance:
        self.allowed.append([*subjects])
        return UNBOUNDED

    async def may_use_lately(self, identity: Identity, name: str) -> bool:
        return identity.id == name

    async def find(
        self, visitor: Visitor, wanted: ServiceQuery, workspace: str, *, mode: str
    ) -> Provider:
        self.wanted.append((visitor, wanted, workspace, mode))
        return PROVIDER


def lookup(hub: Hub, public_base_url: str = "") -> Lookup:
    return Lookup(
        cast(Gatekeeper, hub),
        cast(Workspaces, hub),
        cast(Visits, hub),
        public_base_url,
        cast(Quotas, hub),
    )


@pytest.mark.parametrize(
    ("header", "token"),
    [(None, None), ("", None), ("Bearer x.y", "x.y"), ("bearer  x.y ", "x.y"), ("x.y", "x.y")],
)
def test_a_token_stands_alone_or_behind_bearer(header: str | None, token: str | None) -> None:
    assert token_of(header) == token


@pytest.mark.parametrize("header", ["Bearer", "Bearer x y", "x y", " "])
def test_anything_else_is_no_token(header: str) -> None:
    with pytest.raises(InvalidToken, match="Bearer <token>"):
        token_of(header)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "hub:9000"}, "http://hub:9000"),
        ({"host": "hub", "scheme": "wss"}, "https://hub"),
        ({"host": "hub", "scheme": "ws"}, "http://hub"),
        ({"host": "inner", "x_forwarded_host": "hub", "x_forwarded_proto": "https"}, "https://hub"),
        ({"host": "hub", "root_path": "/base"}, "http://hub/base"),
    ],
)
def test_the_base_url_is_what_the_caller_came_by(fields: dict[str, str], url: str) -> None:
    assert base_url_of(request(**fields)) == url


@pytest.mark.parametrize("name", ["host", "x_forwarded_host"])
def test_a_host_without_end_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="at most 261 characters, not 262"):
        base_url_of(request(**{name: "h" * 262}))


def gatekeeper(redis: FakeRedis) -> Gatekeeper:
    nothing: Any = None
    workspaces = Workspaces(redis.client, Keys("hypha"))
    return Gatekeeper(nothing, nothing, workspaces, nothing, nothing)


async def test_whether_somebody_new_has_a_workspace_is_not_asked() -> None:
    redis = FakeRedis()

    admission = await gatekeeper(redis).admit({"client_id": "me"})

    assert admission.workspace == own_workspace(admission.identity)
    assert redis.sent == []


async def test_somebody_new_is_asked_about_where_redis_may_be_away() -> None:
    redis = FakeRedis()
    redis.is_open = False
    redis.answers["hgetall"] = AWAY

    with pytest.raises(RedisUnavailable):
        await gatekeeper(redis).admit({"client_id": "me"})


async def test_any_other_workspace_is_looked_up() -> None:
    redis = FakeRedis()

    with pytest.raises(WorkspaceNotFound):
        await gatekeeper(redis).admit({"client_id": "me", "workspace": "elsewhere"})

    assert redis.names == ["hgetall"]


async def test_whoever_asks_is_inside_or_not() -> None:
    look = lookup(Hub())

    inside = await look.enter(request(authorization="Bearer anns", host="hub"), "ann")
    elsewhere = await look.enter(request(authorization="anns", host="hub"), "bob")
    nobody = await look.enter(request(host="hub"), "ann")

    assert (inside, elsewhere) == (
        Visitor(ANN, True, "http://hub"),
        Visitor(ANN, False, "http://hub"),
    )
    assert (nobody.identity.is_anonymous, nobody.inside) == (True, False)


async def test_what_a_visitor_puts_into_mailboxes_counts_for_who_they_are() -> None:
    hub = Hub()
    look = lookup(hub)
    known = replace(ANN, origin=Origin("id", 0.0))

    await look.enter(request(host="hub"), "ann")
    hub.identify = lambda token: answered(known)  # type: ignore[method-assign]
    await look.enter(request(host="hub"), "ann")

    assert hub.allowed == [["address"], ["user ann", "address"]]


async def test_a_service_is_found_by_its_name_or_its_clients() -> None:
    hub = Hub()
    look = lookup(hub, "https://hub.example")

    assert (await look.find(request(), "ann", "open"))[1] is PROVIDER
    await look.find(request(), "ann", "me:open", "first")

    (visitor, wanted, *rest), (_, direct, *others) = hub.wanted
    assert visitor.base_url == "https://hub.example"
    assert (wanted, rest) == (ServiceQuery(None, None, "open"), ["ann", "random"])
    assert (direct, others) == (ServiceQuery(None, "me", "open"), ["ann", "first"])


async def test_each_request_counts_for_its_address_and_for_whom_a_token_speaks() -> None:
    hub = Hub()
    look = lookup(hub)
    known = replace(ANN, origin=Origin("id", 0.0))
    hub.identify = lambda token: answered(known)  # type: ignore[method-assign]

    await look.identify(request(authorization="anns"))

    assert hub.asked == [(["address"], 0), (["user ann"], 0)]


async def answered(identity: Identity) -> Identity:
    return identity
