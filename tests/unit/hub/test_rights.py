"""Who may pass on functions of others."""

import json
import time
from collections.abc import Callable

import pytest

from hypha_cluster.errors import (
    ClientNotFound,
    HubError,
    PermissionDenied,
    RedisUnavailable,
    ServiceNotFound,
    WorkspaceNotFound,
)
from hypha_cluster.hub.rights import Open, Rights
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.references import Reference
from hypha_cluster.registry.services import Provider
from hypha_cluster.relay.connections import Connections
from tests.fakes import FakeClock, FakeSocket
from tests.unit.relay.test_connection import connection

ME = Identity("me")
OPEN = Reference("away/other", "open")


class FakeWorkspaces:
    """The user may enter one."""

    def __init__(self, error: HubError | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    async def may_use_lately(self, identity: Identity, name: str) -> bool:
        self.asked.append(name)
        if self._error is not None:
            raise self._error
        return name == "mine"


CLOSED = Reference("away/other", "closed", is_called=True)


class FakeDirectory:
    """Finds one public service."""

    def __init__(self, error: HubError) -> None:
        self._error = error

    async def find_lately(self, wanted: ServiceQuery, home: str, *, inside: bool) -> object:
        if (wanted, inside) != (ServiceQuery("away", "other", "open"), False):
            raise self._error
        return object()


def rights(
    *,
    error: HubError | None = None,
    missing: HubError | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Rights, FakeWorkspaces]:
    workspaces = FakeWorkspaces(missing)
    directory = FakeDirectory(error or ServiceNotFound("no such service"))
    return Rights(workspaces, directory, lambda *_: False, clock), workspaces


async def test_public_services_and_those_of_a_workspace_that_one_may_enter_may_be_passed_on() -> (
    None
):
    mine = [Reference("mine/other", name) for name in ("closed", "built-in", "unheard-of")]
    allowed, workspaces = rights()

    await allowed.require(ME, [OPEN, *mine])

    assert workspaces.asked == ["away", "mine"]


@pytest.mark.parametrize(
    "error", [PermissionDenied("protected"), ServiceNotFound("no"), ClientNotFound("no")]
)
async def test_others_may_not(error: HubError) -> None:
    denying, _ = rights(error=error)

    with pytest.raises(PermissionDenied, match="'closed' of 'away/other' is not public"):
        await denying.require(ME, [OPEN, Reference("away/other", "closed")])


async def test_what_each_client_has_for_itself_may_not() -> None:
    denying, _ = rights()

    with pytest.raises(PermissionDenied, match="'built-in'"):
        await denying.require(ME, [Reference("away/other", "built-in")])


async def test_nothing_of_a_workspace_that_is_not_there_may() -> None:
    denying, _ = rights(missing=WorkspaceNotFound("no such workspace"))

    with pytest.raises(PermissionDenied):
        await denying.require(ME, [Reference("gone/other", "closed")])


async def test_without_redis_nothing_is_known() -> None:
    unable, _ = rights(error=RedisUnavailable("away"))

    with pytest.raises(RedisUnavailable):
        await unable.require(ME, [Reference("away/other", "closed")])


# Calls.


@pytest.mark.parametrize("error", [PermissionDenied("protected"), ServiceNotFound("no")])
async def test_only_what_is_public_elsewhere_is_called(error: HubError) -> None:
    denying, _ = rights(error=error)

    await denying.require(ME, [OPEN._replace(is_called=True)])
    await denying.require(ME, [Reference("mine/other", "closed", is_called=True)])
    with pytest.raises(type(error), match=str(error)):
        await denying.require(ME, [CLOSED])


async def test_a_call_to_who_is_not_known_goes_to_where_that_is_noticed() -> None:
    unknowing, _ = rights(error=ClientNotFound("no"))

    await unknowing.require(ME, [CLOSED])


async def test_redis_is_not_asked_again_at_once_when_it_is_away() -> None:
    clock = FakeClock()
    unable, workspaces = rights(error=RedisUnavailable("away"), clock=clock)

    for _ in range(3):
        with pytest.raises(RedisUnavailable):
            await unable.require(ME, [CLOSED])
    assert workspaces.asked == ["away"]

    clock.now += 2
    with pytest.raises(RedisUnavailable):
        await unable.require(ME, [CLOSED])
    assert workspaces.asked == ["away", "away"]


class FakeServices:
    """Has looked up a moment ago what is given."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {(each.address, each.service): each for each in providers}

    def known(self, address: str, service: str) -> Provider | None:
        return self._providers.get((address, service))


async def test_what_is_public_here_or_was_a_moment_ago_is_known_at_once() -> None:
    infos = {name: {"config": {"visibility": name}} for name in ("public", "protected")}
    far = [Provider("bob/far", name, info, online=True) for name, info in infos.items()]
    connections, near = Connections(1, 1.0), connection(FakeSocket())
    near.announce({name: json.dumps(info) for name, info in infos.items()})
    connections.attach(near)
    is_open = Open(connections, FakeServices(*far))

    asked = [(who, name) for who in ("ann/me", "bob/far", "bob/no") for name in [*infos, "x"]]

    assert [each for each in asked if is_open(*each)] == [
        ("ann/me", "public"),
        ("bob/far", "public"),
    ]
    near.announce({"public": json.dumps(infos["protected"])})
    assert not is_open("ann/me", "public")
