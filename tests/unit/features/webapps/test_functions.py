"""A path of a service is a function's name, and what the function returns is the answer."""

from typing import Any, cast

import pytest
from starlette.types import Message

from hypha_cluster.errors import (
    ClientLeft,
    FunctionNotFound,
    HubError,
    InvalidToken,
    Overloaded,
    TooLarge,
)
from hypha_cluster.features.webapps.entrance import Guest
from hypha_cluster.features.webapps.functions import FunctionServer
from hypha_cluster.features.webapps.providers import Application
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.limits import FUNCTION_BODY, LARGE_BODIES
from hypha_cluster.registry.services import Provider
from hypha_cluster.web.bodies import Room

ANN = Identity("ann", is_anonymous=False)
PROVIDERS = [Provider(f"w/{name}", "s", {"type": "functions"}, online=True) for name in "ab"]


class Providers:
    """What the functions of two clients answer, and which were called with what."""

    def __init__(self, **functions: Any) -> None:
        self.functions = functions
        self.called: list[tuple[str, str, dict[str, Any]]] = []
        self.lost: set[str] = set()

    async def find(self, *_: object, without: Any = (), **__: object) -> Provider:
        return next(each for each in PROVIDERS if each.address not in without)

    async def is_online(self, provider: Provider) -> bool:
        return True

    async def member(self, visitor: Visitor, provider: Provider, name: str) -> Any:
        if name not in self.functions:
            raise FunctionNotFound(name)
        if name == "text":
            return self.functions[name]
        return rpc.reference(provider.address, f"services.s.{name}")

    async def call(
        self, visitor: Visitor, provider: Provider, function: Any, args: list[Any], kwargs: Any
    ) -> Any:
        name = function["_rmethod"].rpartition(".")[2]
        [event] = args
        self.called.append((provider.address, name, event))
        if provider.address in self.lost:
            raise ClientLeft("It has left.")
        return self.functions[name]


class Asked(list[Message]):
    """What a browser gets."""

    async def send(self, message: Message) -> None:
        self.append(message)

    @property
    def status(self) -> int:
        return int(self[0]["status"])

    @property
    def body(self) -> bytes:
        return bytes(self[1]["body"])


async def ask(
    providers: Providers,
    path: str = "/hello",
    method: str = "GET",
    *,
    kind: str = "http",
    body: bytes = b"",
    user: Identity | None = ANN,
    refusal: InvalidToken | None = None,
    room: Room | None = None,
) -> Asked:
    got, root = Asked(), "/w/apps/s"
    scope = {
        **{"type": kind, "method": method, "scheme": "http", "path": root + path},
        **{"root_path": root, "raw_path": (root + path).encode(), "query_string": b"a=1"},
        "headers": [(b"host", b"hub")],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    visits = cast(Visits, providers)
    guest = Guest(Visitor(user or Identity("nobody"), inside=True, base_url=""), user, refusal)
    application = Application(visits, guest, "w", ServiceQuery(None, None, "s"))
    server = FunctionServer(visits, room or Room())
    await server.serve(application, PROVIDERS[0], scope, receive, got.send)
    return got


@pytest.mark.parametrize(
    ("path", "name"), [("/hello", "hello"), ("/", "index"), ("/hello/", "hello")]
)
async def test_a_path_is_the_name_of_a_function(path: str, name: str) -> None:
    providers = Providers(hello={"body": "hello"}, index={"body": "index"})

    got = await ask(providers, path)

    assert (got.status, got.body) == (200, name.encode())
    assert [called[:2] for called in providers.called] == [("w/a", name)]


@pytest.mark.parametrize("user", [ANN, None])
async def test_the_function_gets_the_request_and_who_asks(user: Identity | None) -> None:
    providers = Providers(hello={"status": 201})

    got = await ask(providers, method="POST", body=b"\x00body", user=user)

    [(_, _, event)] = providers.called
    assert got.status == 201
    assert (event["method"], event["path"], event["query_string"]) == ("POST", "/hello", "a=1")
    assert event["body"] == b"\x00body"
    assert event["headers"] == {"host": "hub"}
    assert event["context"]["user"] == (user.to_wire() if user else None)


@pytest.mark.parametrize("path", ["/unknown", "/a/b", "/a.b", "/text"])
async def test_what_is_no_function_is_not_found_and_nobody_is_called(path: str) -> None:
    providers = Providers(a={}, b={}, text="a value")

    got = await ask(providers, path)

    assert (got.status, providers.called) == (404, [])


async def test_the_head_of_an_answer_says_how_long_its_body_would_be() -> None:
    got = await ask(Providers(hello={"body": "hello"}), method="HEAD")

    assert (got.status, got.body) == (200, b"")
    assert (b"content-length", b"5") in got[0]["headers"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"kind": "websocket"}, FunctionNotFound),
        ({"refusal": InvalidToken("It has expired.")}, InvalidToken),
        ({"body": b"x" * (FUNCTION_BODY + 1), "method": "POST"}, TooLarge),
    ],
)
async def test_what_cannot_be_answered_calls_nobody(
    asked: dict[str, Any], error: type[HubError]
) -> None:
    providers = Providers(hello={})

    with pytest.raises(error):
        await ask(providers, **asked)

    assert providers.called == []


async def test_a_body_takes_of_the_room_and_gives_it_back() -> None:
    room = Room()
    large: dict[str, Any] = {"method": "POST", "body": b"x" * FUNCTION_BODY, "room": room}
    room.change(0, LARGE_BODIES)
    with pytest.raises(Overloaded):
        await ask(Providers(hello={}), **large)
    room.change(LARGE_BODIES, 0)

    assert (await ask(Providers(hello={}), **large)).status == 200
    assert room.taken == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_another_provider_is_asked_for_what_can_be_asked_twice(method: str) -> None:
    providers = Providers(hello={"body": "hello"})
    providers.lost = {"w/a"}

    got = await ask(providers, method=method)

    assert got.status == 200
    assert [called[0] for called in providers.called] == ["w/a", "w/b"]


async def test_what_may_have_been_done_is_not_done_twice() -> None:
    providers = Providers(hello={})
    providers.lost = {"w/a"}

    with pytest.raises(ClientLeft):
        await ask(providers, method="POST")

    assert [called[0] for called in providers.called] == ["w/a"]
