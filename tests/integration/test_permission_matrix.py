"""The table of permission, tried: every kind of caller × way in × kind of workspace.

Whoever asks does it at one gateway, and the providers are at another, so that frames cross. What is
expected is what the table of identity/access.py says; where a way in asks for more, its row does.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import (
    LEAST,
    Action,
    Identity,
    Standing,
    Workspace,
    may_hand_on,
    may_oversee,
    standing_of,
)
from tests.gateways import SECOND, Gateway, Value
from tests.raw_client import RawClient, Rejected
from tests.sse_client import Refused, SseClient
from tests.token_rig import SECRET, token_of

ANN: Final = Identity("ann", False, "ann@example.org")
BOB: Final = Identity("bob", False, "bob@example.org")
BOSS: Final = Identity("boss", False, "boss@example.org", roles=("admin",))
MAKERS: Final = {user.id: user for user in (ANN, BOB, BOSS)}
GUEST: Final = Identity("guest", False, "guest@example.org")
KINDS: Final[dict[str, dict[str, Any]]] = {
    "protected": {"visibility": "protected"},
    "protected, with a list": {"visibility": "protected", "allow_list": [GUEST.email]},
    "protected, denying": {"visibility": "protected", "deny_list": [BOB.email]},
    "public": {"visibility": "public", "deny_list": []},
    "public, allowing": {"visibility": "public", "allow_list": [GUEST.email]},
    "public, with a list": {"visibility": "public", "deny_list": [GUEST.email]},
}
LABS: Final = {kind: f"lab-{number}" for number, kind in enumerate(KINDS)}


def child(name: str, maker: Identity, *scopes: str, email: str | None = None) -> Identity:
    return Identity(name, email is None, email, maker.roles, maker.id, scopes)


CALLERS: Final = {
    "nobody": None,
    "a user without an address": Identity("cat"),
    "a user": BOB,
    "who is on its list": GUEST,
    "its owner": ANN,
    "an owner's child for it": child("c1", ANN, *LABS.values()),
    "an owner's child for another": child("c2", ANN, "elsewhere"),
    "an owner's child with the owner's address": child("c3", ANN, email=ANN.email),
    "a user's child for it": child("c4", BOB, *LABS.values()),
    "an unknown user's child for it": child("c5", Identity("zoe"), *LABS.values()),
    "an admin": BOSS,
    "an admin's child for it": child("c6", BOSS, *LABS.values()),
    "an admin's child for another": child("c7", BOSS, "elsewhere"),
}


class Place(NamedTuple):
    """A workspace, and what is in it. provider: the address of a client. app: the id of an app."""

    settings: dict[str, Any]
    workspace: Workspace
    provider: str
    app: str


class Hub(NamedTuple):
    """Two gateways, and somebody who owns workspaces there."""

    here: str
    there: str
    http: httpx2.AsyncClient
    ann: RawClient
    places: dict[str, Place]


@dataclass(frozen=True)
class Scene:
    """A caller with a connection of their own, before a workspace with a provider in it."""

    hub: Hub
    token: str | None
    caller: RawClient
    place: Place

    @property
    def name(self) -> str:
        return self.place.workspace.name

    @property
    def provider(self) -> str:
        return self.place.provider

    # Over HTTP.

    async def ask(
        self, path: str, body: Any = None, method: str = "", **headers: str
    ) -> httpx2.Response:
        """Ask with a token in a header; path: `{lab}` and `{client}` are the place's."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        client = self.provider.partition("/")[2]
        url = self.hub.here + path.replace("{lab}", self.name).replace("{client}", client)
        method = method or ("GET" if body is None else "POST")
        return await self.hub.http.request(method, url, json=body, headers=headers)

    async def asks(self, path: str, body: Any = None, method: str = "", **headers: str) -> bool:
        answer = await self.ask(path, body, method, **headers)
        assert answer.status_code in (200, 307, 403), (path, answer.status_code, answer.text)
        return answer.status_code != 403

    async def finds(self, path: str, body: Any) -> bool:
        """Ask for what is not there, which only those are told who may know."""
        answer = await self.ask(path, body)
        assert answer.status_code in (403, 404), (path, answer.text)
        return answer.status_code == 404

    async def reads(self, service: str) -> bool:
        """Whether a description of the workspace has a service."""
        answer = await self.ask("/{lab}/openapi.json")
        return f"/{self.name}/services/{service}/work" in answer.json()["paths"]

    async def opens_websocket(self, service: str) -> bool:
        url = f"{self.hub.here.replace('http', 'ws', 1)}/{self.name}/apps/{service}/socket"
        named = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            async with open_websocket(url, additional_headers=named) as socket:
                return await socket.recv() == "done"
        except InvalidStatus as refused:
            if refused.response.status_code != 403:
                raise
            return False

    # By frames.

    async def places_call(self, to: str, method: str, *arguments: Any, **named: Any) -> bool:
        """Call from the caller's own workspace."""
        try:
            await self.caller.call(to, method, *arguments, **named)
        except Rejected as refused:
            return not _is_denial(refused)
        return True

    async def manages(self, function: str, *arguments: Any) -> bool:
        """Call a function of the manager of the caller's own workspace."""
        return await self.places_call(
            "workspace-manager", f"services.default.{function}", *arguments
        )

    async def manages_there(self, function: str, *arguments: Any) -> bool:
        """The same of the manager of the workspace."""
        manager = f"{self.name}/workspace-manager"
        return await self.places_call(manager, f"services.default.{function}", *arguments)

    async def uses_apps(self, function: str, *arguments: Any, **named: Any) -> bool:
        manager = "public/workspace-manager"
        return await self.places_call(
            manager, f"services.server-apps.{function}", *arguments, **named
        )

    async def lists(self, service: str) -> bool:
        """Whether a service is listed: all listings agree."""
        over_http = (await self.ask("/{lab}/services")).json()
        by_old_address = (await self.ask("/services/list?workspace={lab}")).json()
        over_rpc = await self.caller.manager("list_services", self.name)
        listings = (over_http, by_old_address, over_rpc)
        has = {any(info["id"].endswith(f":{service}") for info in infos) for infos in listings}
        assert len(has) == 1
        return has.pop()

    async def overwrites(self) -> bool:
        """Overwrite it with the same settings, which have the caller for an owner then."""
        try:
            return await self.manages("create_workspace", self.place.settings, True)
        finally:
            await self.hub.ann.manager("create_workspace", self.place.settings, True)

    # By a connection to it.

    async def connects(self, connect: Callable[..., Awaitable[RawClient]], *others: Any) -> bool:
        """Connect to the workspace; then its protected services are there to be called."""
        query = {"token": self.token} if self.token else {}
        try:
            inside = await connect(self.hub.here, *others, workspace=self.name, **query)
        except InvalidStatus as refused:
            if refused.response.status_code != 403:
                raise
            return False
        except Refused as refused:
            if refused.status != 403:
                raise
            return False
        async with inside:
            assert await inside.manager("get_service", f"{self.provider}:work-protected")
            assert await inside.call(self.provider, "services.work-protected.work") == "done"
        return True

    async def streams(self) -> bool:
        """Connect by events, and post at the other gateway."""

        async def connect(url: str, **query: str) -> RawClient:
            return await SseClient.connect(url, posts=[self.hub.there], **query)

        return await self.connects(connect)

    async def launches(self) -> bool:
        """Launch an app in it, which no runner ever takes."""
        query = {"token": self.token} if self.token else {}
        try:
            inside = await RawClient.connect(self.hub.here, workspace=self.name, **query)
        except InvalidStatus:
            return False
        async with inside:
            manager = "public/workspace-manager"
            launch = "services.server-apps.launch"
            with pytest.raises(Rejected) as error:
                await inside.call(manager, launch, APP, timeout=0.01, config=CONFIG)
            return not _is_denial(error.value)


def _is_denial(error: Rejected) -> bool:
    denials = ("Permission denied", "must be authenticated", "can only be your own")
    return any(denial in str(error) for denial in denials)


APP: Final = "api.export({ work: () => 'done' });"
CONFIG: Final = {"name": "App", "type": "web-worker"}
GET_SERVICE: Final = "services.built-in.get_service"
OLD_CALL: Final = "/services/call?workspace={lab}&service_id=work-%s&function_key=work"
APPS: Final = "/public/services/server-apps"
HTML: Final = {"Accept": "text/html"}


class Way(NamedTuple):
    """also: what it asks for beside what the table says."""

    action: Action
    name: str
    attempt: Callable[[Scene], Awaitable[bool]]
    also: Callable[[Identity | None, Workspace], bool] = lambda user, lab: True


def ways_to_use(action: Action, kind: str) -> list[Way]:
    """Every way to reach a service that is `public`, or `protected`."""
    work, site, asgi = f"work-{kind}", f"site-{kind}", f"asgi-{kind}"
    name, call = f"{{client}}:{work}", f"services.{work}.work"
    old = OLD_CALL % kind
    return [
        Way(action, "GET a function", lambda s: s.asks(f"/{{lab}}/services/{work}/work")),
        Way(action, "POST to it", lambda s: s.asks(f"/{{lab}}/services/{work}/work", {})),
        Way(action, "GET, by client", lambda s: s.asks(f"/{{lab}}/services/{name}/work")),
        Way(action, "POST, by client", lambda s: s.asks(f"/{{lab}}/services/{name}/work", {})),
        Way(action, "HEAD", lambda s: s.asks(f"/{{lab}}/services/{work}/work", method="HEAD")),
        Way(action, "GET, old address", lambda s: s.asks(old)),
        Way(action, "POST, old address", lambda s: s.asks(old, {})),
        Way(action, "describe", lambda s: s.asks(f"/{{lab}}/services/{work}")),
        Way(action, "describe, by client", lambda s: s.asks(f"/{{lab}}/services/{name}")),
        Way(action, "its page", lambda s: s.asks(f"/{{lab}}/?service={work}", **HTML)),
        Way(action, "OpenAPI", lambda s: s.reads(work)),
        Way(action, "list", lambda s: s.lists(work)),
        Way(action, "call by a frame", lambda s: s.places_call(s.provider, call)),
        Way(action, "describe by a frame", lambda s: s.places_call(s.provider, GET_SERVICE, work)),
        Way(action, "functions", lambda s: s.asks(f"/{{lab}}/apps/{site}/")),
        Way(action, "POST to functions", lambda s: s.asks(f"/{{lab}}/apps/{site}/index", {})),
        Way(action, "functions, by client", lambda s: s.asks(f"/{{lab}}/apps/{{client}}:{site}/")),
        Way(action, "ASGI", lambda s: s.asks(f"/{{lab}}/apps/{asgi}/any/path")),
        Way(action, "ASGI WebSocket", lambda s: s.opens_websocket(asgi)),
    ]


def _is_named(user: Identity | None, _: Workspace) -> bool:
    return user is not None and not user.is_anonymous


def _has_token(user: Identity | None, _: Workspace) -> bool:
    return user is not None


def _hands_on(user: Identity | None, lab: Workspace) -> bool:
    """A child makes tokens only for what its own is for, and for what is its own."""
    return user is None or may_hand_on(user, lab)


LOOK, INSTALL, CHANGE = Action.LOOK, Action.INSTALL, Action.CHANGE
WAYS: Final = [
    *ways_to_use(Action.USE_PUBLIC, "public"),
    *ways_to_use(Action.USE_PROTECTED, "protected"),
    Way(Action.ENTER, "WebSocket", lambda s: s.connects(RawClient.connect)),
    Way(Action.ENTER, "event stream", lambda s: s.streams()),
    Way(LOOK, "info", lambda s: s.manages("get_workspace_info", s.name)),
    Way(LOOK, "clients", lambda s: s.manages_there("list_clients")),
    Way(LOOK, "summary", lambda s: s.manages_there("get_summary")),
    Way(LOOK, "GET its info", lambda s: s.asks("/{lab}/info")),
    Way(LOOK, "info, old address", lambda s: s.asks("/workspaces/info?workspace={lab}")),
    Way(LOOK, "its page", lambda s: s.asks("/{lab}/", **HTML)),
    Way(LOOK, "list apps", lambda s: s.uses_apps("list_apps", workspace=s.name)),
    Way(LOOK, "POST to list apps", lambda s: s.asks(f"{APPS}/list_apps", {"workspace": s.name})),
    Way(LOOK, "running", lambda s: s.uses_apps("list_running", workspace=s.name), _is_named),
    Way(LOOK, "a file", lambda s: s.asks(f"/apps/{s.place.app}/index.html"), _has_token),
    Way(
        LOOK,
        "a file, token in the query",
        lambda s: s.asks(f"/apps/{s.place.app}/index.html?token={s.token or ''}"),
        _has_token,
    ),
    Way(
        Action.LET_IN,
        "make a token",
        lambda s: s.manages("generate_token", {"scopes": [s.name]}),
        _hands_on,
    ),
    Way(
        INSTALL,
        "install an application",
        lambda s: s.manages_there(
            "install_application", {"name": "a", "id": "a", "tags": [], "type": "a"}
        ),
    ),
    Way(
        INSTALL,
        "install an app",
        lambda s: s.uses_apps("install", APP, config=CONFIG, workspace=s.name, app_id="tried"),
        _is_named,
    ),
    Way(INSTALL, "launch an app", lambda s: s.launches(), _is_named),
    Way(
        INSTALL,
        "POST to start an app",
        lambda s: s.finds(f"{APPS}/start", {"app_id": f"{s.name}/nothing"}),
        _is_named,
    ),
    Way(INSTALL, "stop apps", lambda s: s.uses_apps("stop_all", workspace=s.name), _is_named),
    Way(CHANGE, "change a setting", lambda s: s.manages_there("set", {"description": "new"})),
    Way(CHANGE, "overwrite it", lambda s: s.overwrites()),
]
# What has nothing to do with one workspace.
OVERSIGHT: Final[dict[str, Callable[[Scene], Awaitable[bool]]]] = {
    "figures": lambda s: s.asks("/api/stats"),
    "all workspaces": lambda s: s.asks("/workspaces/list"),
    "another's address": lambda s: s.manages("generate_token", {"email": "any@example.org"}),
}


@pytest.fixture(scope="module")
def gateways(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    logs = tmp_path_factory.mktemp("matrix")
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": f"matrix-{secrets.token_hex(4)}",
        "jwt_secret": SECRET,
        "enable_server_apps": True,
        "app_runners": "elsewhere",  # and none is started
    }
    with ExitStack() as stack:
        here, there = (
            stack.enter_context(Gateway(logs / f"{name}.log", **settings))
            for name in ("here", "there")
        )
        yield here.url, there.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(gateways: tuple[str, str]) -> AsyncIterator[Hub]:
    """Workspaces of Ann's, each with a client of hers in it; other users are known."""
    here, there = gateways
    async with AsyncExitStack() as stack:
        ann, *_ = [
            await stack.enter_async_context(await RawClient.connect(there, token=token_of(user)))
            for user in MAKERS.values()
        ]
        places = {}
        for kind, lab in LABS.items():
            settings = {"name": lab, "owners": [ANN.id], **KINDS[kind]}
            await ann.manager("create_workspace", settings)
            inside = await RawClient.connect(there, token=token_of(ANN), workspace=lab)
            await stack.enter_async_context(inside)
            await offer_all(inside)
            install = "services.server-apps.install"
            app = await inside.call("public/workspace-manager", install, APP, config=CONFIG)
            workspace = Workspace(**await inside.manager("get_workspace_info"))
            places[kind] = Place(settings, workspace, inside.address, app["id"])
        http = await stack.enter_async_context(
            httpx2.AsyncClient(trust_env=False, timeout=30 * SECOND)
        )
        yield Hub(here, there, http, ann, places)


async def offer_all(client: RawClient) -> None:
    """A service to call and two web applications, each both public and protected."""
    described, infos = {}, []
    for visibility in ("public", "protected"):
        for service, kind, function in (
            ("work", "generic", "work"),
            ("site", "functions", "index"),
            ("asgi", "ASGI", "serve"),
        ):
            name = f"{service}-{visibility}"
            reference = {
                "_rtype": "method",
                "_rtarget": client.address,
                "_rmethod": f"services.{name}.{function}",
                "_rpromise": True,
            }
            config = {"visibility": visibility, "require_context": False}
            about = {"id": name, "name": name, "type": kind, "config": config}
            described[name] = {**about, function: reference}
            infos.append({**about, "id": f"{client.client_id}:{name}"})
        client.functions[f"services.work-{visibility}.work"] = lambda *_: "done"
        client.functions[f"services.site-{visibility}.index"] = lambda event: {"body": "done"}
        client.functions[f"services.asgi-{visibility}.serve"] = lambda asgi: serve(client, asgi)
    client.functions[GET_SERVICE] = described.__getitem__
    await client.manager("update_client_info", {"id": client.client_id, "services": infos})


async def serve(client: RawClient, interface: dict[str, Any]) -> None:
    """An ASGI application: it answers `done`."""
    send = interface["send"]
    if interface["scope"]["type"] == "http":
        messages: list[dict[str, Any]] = [
            {"type": "http.response.start", "status": 200, "headers": []},
            {"type": "http.response.body", "body": b"done"},
        ]
    else:
        messages = [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "text": "done"},
            {"type": "websocket.close"},
        ]
    for message in messages:
        await client.call(send["_rtarget"], send["_rmethod"], message)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("identity", CALLERS.values(), ids=CALLERS.keys())
async def test_every_way_in_lets_in_whom_the_table_says(
    hub: Hub, identity: Identity | None
) -> None:
    token = token_of(identity) if identity else None
    user = identity or Identity("anonymous")
    allowed, expected = {}, {}
    async with await RawClient.connect(hub.here, **({"token": token} if token else {})) as caller:
        for kind, place in hub.places.items():
            scene = Scene(hub, token, caller, place)
            standing = standing_of(user, place.workspace, MAKERS.get(user.parent or ""))
            for way in WAYS:
                key = (kind, way.action.name, way.name)
                allowed[key] = await way.attempt(scene)
                expected[key] = standing >= LEAST[way.action] and way.also(
                    identity, place.workspace
                )
            # Published providers refuse a call from another workspace; one has to connect to it.
            assert not await scene.manages("get_service", f"{place.provider}:work-protected")
            assert await scene.manages("get_service", f"{place.provider}:work-public")
        elsewhere = Scene(hub, token, caller, hub.places["protected"])
        for name, attempt in OVERSIGHT.items():
            allowed["hub", "OVERSEE", name] = await attempt(elsewhere)
            expected["hub", "OVERSEE", name] = may_oversee(user)

    wrong = {key: is_allowed for key, is_allowed in allowed.items() if is_allowed != expected[key]}
    assert wrong == {}


def test_every_row_of_the_table_is_tried() -> None:
    tried = {way.action for way in WAYS} | {Action.OVERSEE}
    standings = {
        standing_of(
            user or Identity("anonymous"),
            Workspace(name=LABS[kind], **{"owners": [ANN.id, ANN.email], **settings}),
            MAKERS.get((user and user.parent) or ""),
        )
        for user in CALLERS.values()
        for kind, settings in KINDS.items()
    }

    assert tried == set(Action)
    assert standings == set(Standing)
