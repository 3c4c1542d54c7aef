"""The table of permission, tried: every kind of caller × way in × kind of workspace."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import LEAST, Action, Identity, Workspace, standing_of
from tests.gateways import Gateway
from tests.http import ask
from tests.raw_client import RawClient, Rejected
from tests.token_rig import SECRET, token_of

ANN: Final = Identity("ann", False, "ann@example.org")
BOB: Final = Identity("bob", False, "bob@example.org")
BOSS: Final = Identity("boss", False, "boss@example.org", roles=("admin",))
MAKERS: Final = {user.id: user for user in (ANN, BOB, BOSS)}
LAB: Final = "lab"  # in the scopes of some


def child(maker: Identity, *scopes: str, email: str | None = None) -> Identity:
    return Identity(
        f"child-of-{maker.id}", email is None, email, maker.roles, maker.id, tuple(scopes)
    )


CALLERS: Final = {
    "nobody": None,
    "a user without an address": Identity("cat"),
    "a user": BOB,
    "who is on its list": Identity("guest", False, "guest@example.org"),
    "its owner": ANN,
    "an owner's child for it": child(ANN, LAB),
    "an owner's child for another": child(ANN, "elsewhere"),
    "an owner's child with the owner's address": child(ANN, email=ANN.email),
    "a user's child for it": child(BOB, LAB),
    "an unknown user's child for it": child(Identity("zoe"), LAB),
    "an admin": BOSS,
    "an admin's child for it": child(BOSS, LAB),
    "an admin's child for another": child(BOSS, "elsewhere"),
}
KINDS: Final[dict[str, dict[str, Any]]] = {
    "protected": {"visibility": "protected"},
    "protected, with a list": {"visibility": "protected", "allow_list": ["guest@example.org"]},
    "public": {"visibility": "public", "deny_list": []},
    "public, with a list": {"visibility": "public", "deny_list": ["guest@example.org"]},
}


class Scene(NamedTuple):
    """A caller with a connection of their own, before a workspace with a provider in it."""

    url: str
    token: str | None
    caller: RawClient
    provider: str

    async def asks(self, path: str) -> bool:
        """Ask over HTTP; say whether it was answered."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = await ask(f"{self.url}/{LAB}/{path}", **headers)
        assert answer.status in (200, 403), answer
        return answer.status == 200

    async def sees(self, service: str) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        listed = (await ask(f"{self.url}/{LAB}/services", **headers)).value
        found: list[dict[str, Any]] = await self.caller.manager("list_services", LAB)
        over_http, over_rpc = (
            any(info["id"].endswith(f":{service}") for info in infos) for infos in (listed, found)
        )
        assert over_http == over_rpc
        return over_rpc

    async def manages(self, function: str, *arguments: Any) -> bool:
        try:
            await self.caller.manager(function, *arguments)
        except Rejected as refused:
            if "Permission denied" not in str(refused):
                raise
            return False
        return True

    async def calls(self, service: str) -> bool:
        """Call by a frame, from the caller's own workspace."""
        try:
            return bool(await self.caller.call(self.provider, f"services.{service}.work"))
        except Rejected as refused:
            if "Permission denied" not in str(refused):
                raise
            return False

    async def connects(self) -> bool:
        """Connect to the workspace; then its protected services are there to be called."""
        query = {"token": self.token} if self.token else {}
        try:
            inside = await RawClient.connect(self.url, workspace=LAB, **query)
        except InvalidStatus as refused:
            if refused.response.status_code != 403:
                raise
            return False
        async with inside:
            assert await inside.manager("get_service", f"{self.provider}:closed")
            assert await inside.call(self.provider, "services.closed.work") == "done"
        return True


WAYS: Final[list[tuple[Action, str, Callable[[Scene], Awaitable[bool]]]]] = [
    (Action.USE_PUBLIC, "call over HTTP", lambda s: s.asks("services/open/work")),
    (Action.USE_PUBLIC, "describe over HTTP", lambda s: s.asks("services/open")),
    (Action.USE_PUBLIC, "list", lambda s: s.sees("open")),
    (Action.USE_PUBLIC, "call by a frame", lambda s: s.calls("open")),
    (Action.USE_PUBLIC, "get", lambda s: s.manages("get_service", f"{s.provider}:open")),
    (Action.USE_PROTECTED, "call over HTTP", lambda s: s.asks("services/closed/work")),
    (Action.USE_PROTECTED, "describe over HTTP", lambda s: s.asks("services/closed")),
    (Action.USE_PROTECTED, "list", lambda s: s.sees("closed")),
    (Action.USE_PROTECTED, "call by a frame", lambda s: s.calls("closed")),
    (Action.ENTER, "connect", lambda s: s.connects()),
    (Action.LOOK, "info", lambda s: s.manages("get_workspace_info", LAB)),
    (Action.LOOK, "info over HTTP", lambda s: s.asks("info")),
]


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Gateway]]:
    log = tmp_path_factory.mktemp("matrix") / "gateway.log"
    prefix = f"matrix-{secrets.token_hex(4)}"
    with Gateway(log, redis_url=valkey_url, redis_prefix=prefix, jwt_secret=SECRET) as running:
        yield lambda: running


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
async def workspace(
    gateway: Callable[[], Gateway], request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Workspace, str]]:
    """A workspace of Ann's, and the address of a client of hers in it; other users are known."""
    url = gateway().url
    settings = {"name": LAB, "owners": [ANN.id], **request.param}
    async with AsyncExitStack() as stack:
        ann, *_ = [
            await stack.enter_async_context(await RawClient.connect(url, token=token_of(user)))
            for user in MAKERS.values()
        ]
        await ann.manager("create_workspace", settings)
        inside = await RawClient.connect(url, token=token_of(ANN), workspace=LAB)
        await stack.enter_async_context(inside)
        await offer_both(inside)
        yield Workspace(**await inside.manager("get_workspace_info")), inside.address


async def offer_both(client: RawClient) -> None:
    """A public service and a protected one, described each by itself."""
    described = {}
    for service, visibility in (("open", "public"), ("closed", "protected")):
        await client.offer(service, visibility, work=lambda *_: "done")
        described[service] = client.functions["services.built-in.get_service"](service)
    client.functions["services.built-in.get_service"] = described.__getitem__
    infos = [
        {"id": f"{client.client_id}:{service}", "config": about["config"]}
        for service, about in described.items()
    ]
    await client.manager("update_client_info", {"id": client.client_id, "services": infos})


@pytest.mark.parametrize("identity", CALLERS.values(), ids=CALLERS.keys())
async def test_every_way_in_lets_in_whom_the_table_says(
    gateway: Callable[[], Gateway], workspace: tuple[Workspace, str], identity: Identity | None
) -> None:
    url, (lab, provider) = gateway().url, workspace
    token = token_of(identity) if identity else None
    user = identity or Identity("anonymous")
    standing = standing_of(user, lab, MAKERS.get(user.parent or ""))
    async with await RawClient.connect(url, **({"token": token} if token else {})) as caller:
        scene = Scene(url, token, caller, provider)

        # Published providers refuse a call from another workspace; so one has to connect to it.
        assert not await scene.manages("get_service", f"{provider}:closed")
        allowed = {(action, way): await attempt(scene) for action, way, attempt in WAYS}

    assert allowed == {(action, way): standing >= LEAST[action] for action, way, _ in WAYS}
