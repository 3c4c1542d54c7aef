"""An application elsewhere answers a browser, by functions that it calls back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from starlette.types import Message

from hypha_cluster.errors import (
    ClientLeft,
    FunctionNotFound,
    HubError,
    InvalidToken,
    RemoteError,
    ServiceNotFound,
)
from hypha_cluster.features.webapps.asgi import AsgiServer
from hypha_cluster.features.webapps.entrance import Guest
from hypha_cluster.features.webapps.providers import Application
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.services import Provider
from hypha_cluster.supervision import Supervisor

GUEST = Guest(Visitor(Identity("ann"), inside=True, base_url=""), None, None)
START = {"type": "http.response.start", "status": 200, "headers": [["a", "b"]]}
ACCEPT = {"type": "websocket.accept"}
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


class Session:
    """A conversation with an application that runs right here."""

    def __init__(self, app: App) -> None:
        self._app = app

    def offer(self, name: str, function: Any, *, prompt: bool) -> Any:
        assert prompt, "most calls of it need not wait"
        return function

    async def call(self, method: str, args: list[Any]) -> None:
        assert method == "services.s.serve"
        [passed] = args
        await self._app(passed["scope"], passed["receive"], passed["send"])

    async def settled(self, name: str) -> None:
        assert name == "send"


class Clients:
    """Providers of a service, each with its application."""

    def __init__(self, *apps: App, **config: Any) -> None:
        self.apps = {f"w/{name}": app for name, app in zip("ab", apps, strict=False)}
        self._info = {"type": "ASGI", "config": config}
        self.served: list[str] = []

    def provider(self, address: str) -> Provider:
        return Provider(address, "s", self._info, online=True)

    async def find(self, *_: object, without: Any = (), **__: object) -> Provider:
        for address in self.apps:
            if address not in without:
                return self.provider(address)
        raise ServiceNotFound("Service not found: w/s")

    async def is_online(self, provider: Provider) -> bool:
        return True

    async def member(self, visitor: Visitor, provider: Provider, name: str) -> str:
        if provider.address not in self.apps:
            raise FunctionNotFound(name)
        return f"services.s.{name}"

    def method(self, provider: Provider, function: str) -> str:
        return function

    @asynccontextmanager
    async def session(self, visitor: Visitor, provider: Provider) -> AsyncIterator[Session]:
        self.served.append(provider.address)
        yield Session(self.apps[provider.address])

    @asynccontextmanager
    async def holding(self, identity: Identity, workspace: str) -> AsyncIterator[None]:
        assert (identity.id, workspace) == ("ann", "w")
        yield


class Browser:
    """Sends what it has, then waits; keeps what it gets."""

    def __init__(self, *messages: Message) -> None:
        self.left = [*messages]
        self.got: list[Message] = []

    async def receive(self) -> Message:
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)

    async def send(self, message: Message) -> None:
        self.got.append(message)

    @property
    def text(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.got)


async def ask(
    clients: Clients, browser: Browser, *, kind: str = "http", method: str = "GET"
) -> None:
    scope = {
        **{"type": kind, "method": method, "scheme": "http", "path": "/w/apps/s/page"},
        **{"root_path": "/w/apps/s", "raw_path": b"/w/apps/s/page", "query_string": b""},
        "headers": [(b"host", b"hub")],
    }
    visits = cast(Visits, clients)
    application = Application(visits, GUEST, "w", ServiceQuery(None, None, "s"))
    server = AsgiServer(visits, cast(Revocations, clients), Supervisor())
    first = clients.provider("w/a")
    await server.serve(application, first, scope, browser.receive, browser.send)


async def answers(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send(START)
    await send(body(scope["path"].encode()))


async def leaves(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise ClientLeft("It has left.")


def breaks_off(error: HubError) -> App:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send(ACCEPT)
        else:
            await send(START)
            await send(body(b"half", more=True))
        raise error

    return app


@pytest.mark.parametrize(
    ("flags", "path"), [([], b"/page"), (None, b"/page"), (["asgi-full-path"], b"/w/apps/s/page")]
)
async def test_what_the_application_sends_goes_to_the_browser(flags: Any, path: bytes) -> None:
    browser = Browser()

    await ask(Clients(answers, flags=flags), browser)

    assert browser.got[0]["status"] == 200
    assert browser.text == path


async def test_the_application_reads_what_the_browser_sends() -> None:
    async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
        parts = [await receive(), await receive()]
        await send(START)
        await send(body(b"".join(each["body"] for each in parts)))

    sent = [
        {"type": "http.request", "body": b"1", "more_body": True},
        {"type": "http.request", "body": b"2", "more_body": False},
    ]
    browser = Browser(*sent)

    await ask(Clients(echo), browser, method="POST")

    assert browser.text == b"12"


async def test_an_application_that_answers_nothing_has_failed() -> None:
    async def silent(scope: dict[str, Any], receive: Any, send: Any) -> None: ...

    with pytest.raises(RemoteError, match="log of its provider"):
        await ask(Clients(silent), Browser())


async def test_an_application_cannot_have_a_context() -> None:
    clients = Clients(answers, require_context=True)

    with pytest.raises(ServiceNotFound, match="require_context"):
        await ask(clients, Browser())

    assert clients.served == []


@pytest.mark.parametrize(("kind", "method"), [("http", "GET"), ("http", "HEAD"), ("websocket", "")])
async def test_another_one_answers_when_the_first_leaves_before(kind: str, method: str) -> None:
    async def other(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await (send(ACCEPT) if scope["type"] == "websocket" else answers(scope, receive, send))

    clients, browser = Clients(leaves, other), Browser()

    await ask(clients, browser, kind=kind, method=method)

    assert clients.served == ["w/a", "w/b"]
    assert browser.got


async def test_what_the_first_one_began_to_say_is_forgotten() -> None:
    async def starts_and_leaves(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({**START, "status": 500})
        raise ClientLeft("It has left.")

    browser = Browser()

    await ask(Clients(starts_and_leaves, answers), browser)

    assert [each.get("status") for each in browser.got] == [200, None]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_what_may_have_been_done_is_not_done_twice(method: str) -> None:
    clients = Clients(leaves, answers)

    with pytest.raises(ClientLeft):
        await ask(clients, Browser(), method=method)

    assert clients.served == ["w/a"]


async def test_an_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    clients, browser = Clients(breaks_off(ClientLeft("It has left.")), answers), Browser()

    await ask(clients, browser)

    assert clients.served == ["w/a"]
    assert (browser.text, browser.got[-1]["more_body"]) == (b"half", True)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ClientLeft("It has left."), 1012, "the web application has left"),
        (
            InvalidToken("It has been revoked."),
            InvalidToken.close_code,
            "the token has been revoked",
        ),
        (RemoteError("Traceback: secret"), 1011, "it failed"),
    ],
)
async def test_a_websocket_that_breaks_off_is_closed_with_the_reason(
    error: HubError, code: int, reason: str
) -> None:
    browser = Browser()

    await ask(Clients(breaks_off(error)), browser, kind="websocket")

    assert [each["type"] for each in browser.got] == ["websocket.accept", "websocket.close"]
    assert (browser.got[-1]["code"], browser.got[-1]["reason"]) == (code, reason)
