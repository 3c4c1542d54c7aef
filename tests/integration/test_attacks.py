"""What a hostile client may try: nothing forged gets through, and nobody else is harmed."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hypha_cluster.registry.keys import Keys
from tests.gateways import Gateway, Hub, Value
from tests.http import ask
from tests.python_client import NEWEST, OLDEST, Connection, Local, PythonClient
from tests.raw_client import (
    CACHE,
    LIMIT,
    MANAGER,
    RawClient,
    Received,
    Rejected,
    call_envelope,
    frame,
    pack,
    promise_of,
    unpack,
)

CALL_KEYS: Final = {"type", "from", "to", "user", "method", "session", "parent"}
BODY_KEYS: Final = {"args", "with_kwargs", "promise"}
ECHO: Final = "services.open.echo"

MakeFrame = Callable[[RawClient, str], bytes | str]


class MessageCache:
    """What a client has to receive messages in chunks: as trusting as the published ones."""

    def __init__(self, client: RawClient) -> None:
        self.entries: dict[str, bytes] = {}
        self.processed: list[bytes] = []
        for action in ("create", "append", "process", "remove"):
            client.functions[CACHE + action] = getattr(self, action)

    def create(self, key: str, heartbeat: bool = False, overwrite: bool = False) -> None:
        if overwrite or key not in self.entries:
            self.entries[key] = b""

    def append(self, key: str, data: bytes, heartbeat: bool = False) -> None:
        self.entries[key] += data

    def process(self, key: str, heartbeat: bool = False) -> None:
        self.processed.append(self.entries.pop(key))

    def remove(self, key: str) -> None:
        del self.entries[key]


@pytest.fixture
async def attacker(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as client:
        yield client


@pytest.fixture
async def accomplice(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as client:
        yield client


@pytest.fixture
async def victim(hub: Hub) -> AsyncIterator[RawClient]:
    """A client elsewhere, with something for everybody and something for its workspace only."""
    async with await RawClient.connect(hub.second) as client:
        await client.offer("open", "public", echo=lambda value: value)
        yield client


@pytest.fixture
def cache(victim: RawClient) -> MessageCache:
    return MessageCache(victim)


PRIVATE: Final = Keys("attacked")


@pytest.fixture(scope="module")
def private(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with little room for what waits, whose log and keys can be looked at."""
    log = tmp_path_factory.mktemp("attacked") / "gateway.log"
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": PRIVATE.prefix,
        "mailbox_size": 4_000,
        "outbox_size": 50_000,
    }
    with Gateway(log, **settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, PythonClient]]:
    with PythonClient(OLDEST) as oldest, PythonClient(NEWEST) as newest:
        yield {OLDEST: oldest, NEWEST: newest}


@pytest.fixture(params=[OLDEST, NEWEST])
async def program(
    request: pytest.FixtureRequest, hub: Hub, programs: dict[str, PythonClient]
) -> AsyncIterator[Connection]:
    """A published client, which offers who it is called by."""
    connection = await programs[request.param].connect(hub.second)
    config = {"visibility": "public", "require_context": ["who"]}
    service = {"id": "open", "config": config, "echo": Local("echo"), "who": Local("who_calls")}
    await connection["register_service"](service)
    yield connection
    await connection["disconnect"]()


async def assert_unharmed(attacker: RawClient, victim: RawClient) -> None:
    """The victim still answers, and whatever reached it before is what the sender could say."""
    assert await attacker.call(victim.address, ECHO, "still there?") == "still there?"
    for received in victim.received:
        if received.source == attacker.address:
            assert_genuine(received, attacker)


def assert_genuine(received: Received, sender: RawClient) -> None:
    assert received.envelope["user"] == sender.user
    if received.envelope["type"] == "method":
        assert received.envelope.keys() <= CALL_KEYS
        assert received.body.keys() <= BODY_KEYS
        assert received.method == ECHO or received.method.startswith(CACHE)
    else:
        assert "ctx" not in received.envelope
        assert received.body == {}


# Forged fields.

FORGED: Final = {
    "from": "elsewhere/root",
    "to": "elsewhere/victim",
    "user": {"id": "root", "roles": ["admin"], "is_anonymous": False},
    "ctx": {"user": {"id": "root"}, "from": "elsewhere/root"},
    "method": "services.closed.secret",
    "type": "disconnect",
    "session": "somebody-elses",
    "parent": "somebody-elses",
    "_rintf": True,
}


@pytest.mark.parametrize("key", FORGED)
async def test_a_field_forged_in_the_body_does_not_arrive(
    attacker: RawClient, victim: RawClient, key: str
) -> None:
    body = {"args": ["forged"], key: FORGED[key]}

    await attacker.send(call_envelope(victim.address, ECHO), body)

    forged = await victim.until(lambda received: received.args == ["forged"])
    assert forged.source == attacker.address
    assert forged.body == {"args": ["forged"]}
    await assert_unharmed(attacker, victim)


@pytest.mark.parametrize("key", ["from", "user", "ctx", "is_admin", "connection_type", "_rintf"])
async def test_a_field_forged_in_the_envelope_does_not_arrive(
    attacker: RawClient, victim: RawClient, key: str
) -> None:
    envelope = {**call_envelope(victim.address, ECHO), key: FORGED.get(key, "forged")}

    await attacker.send(envelope, {"args": ["forged"]})

    forged = await victim.until(lambda received: received.args == ["forged"])
    assert forged.envelope.keys() == {"type", "from", "to", "user", "method"}
    await assert_unharmed(attacker, victim)


async def test_a_message_says_who_it_is_from(attacker: RawClient, victim: RawClient) -> None:
    envelope = {
        "type": "news",
        "to": victim.address,
        "text": "hi",
        **dict(list(FORGED.items())[:4]),
    }

    await attacker.send({**envelope, "to": victim.address}, {"from": "elsewhere/root"})

    news = await victim.until(lambda received: received.envelope["type"] == "news")
    expected = {"type": "news", "from": attacker.address, "to": victim.address, "text": "hi"}
    assert news == (expected | {"user": attacker.user}, {})


@pytest.mark.parametrize("event", ["disconnect", "service-updated"])
async def test_an_event_of_a_clients_own_cannot_be_sent_to_it(
    attacker: RawClient, victim: RawClient, event: str
) -> None:
    await attacker.send({"type": event, "to": victim.address})

    await assert_unharmed(attacker, victim)
    assert not [received for received in victim.received if received.envelope["type"] == event]


async def test_a_published_client_is_told_who_calls(
    attacker: RawClient, program: Connection
) -> None:
    address = await program.address()
    session = attacker.new_session()
    body = {"args": [], "promise": promise_of(attacker.client_id, session), **FORGED}
    envelope = call_envelope(address, "services.open.who", session=session, **{"ctx": FORGED})

    await attacker.send(envelope, {**body, "type": "method", "method": "services.open.who"})

    answer = await attacker.until(lambda received: received.method == f"{session}.resolve")
    (context,) = answer.args
    assert context["from"] == attacker.address
    assert context["to"] == address
    assert context["user"] == attacker.user


# Paths.

TRAVERSALS: Final = (
    "services.open.echo.__globals__",
    "services.open.echo.__globals__.sys.modules.os.system",
    "services.open.__class__",
    "services.__init__",
    "services..__globals__.x",
    "services.open.echo.__getattribute__.",
    "services.open.__x",
    "services.open.__enter__.__globals__",
    "services.open.__enter__.x",
    "services.__enter__",
    "services.open.echo.constructor",
    "services.open.constructor.prototype",
    "services.prototype",
    "services.open.__proto__.x",
    "services",
    "session.resolve.__globals__.sys.modules.os.system",
    "session.resolve.constructor",
    "session.prototype.x",
    "session.timer.reset",
    "session.timer",
    "timer",
    "session._private",
    "_session.resolve",
    "__session.resolve",
    "session..__class__",
    "session.__enter__",
    "session.\n.__globals__",
    "message_cache.x.__class__",
)


@pytest.mark.parametrize("method", [path for path in TRAVERSALS if path != "services"])
async def test_a_path_that_leads_out_is_refused(
    attacker: RawClient, victim: RawClient, method: str
) -> None:
    with pytest.raises(Rejected, match="leads out of"):
        await attacker.call(victim.address, method, "x")

    await assert_unharmed(attacker, victim)


@pytest.mark.parametrize("method", [None, 5, b"services.open.echo", ["services"], {"a": 1}])
async def test_a_path_is_text(attacker: RawClient, victim: RawClient, method: Any) -> None:
    with pytest.raises(Rejected, match="needs a method, as text"):
        await attacker.place({"type": "method", "to": victim.address, "method": method}, {})

    await assert_unharmed(attacker, victim)


async def test_no_path_gets_a_published_client_to_run_code(
    attacker: RawClient, program: Connection
) -> None:
    address = await program.address()

    for path in TRAVERSALS:
        await attacker.send(call_envelope(address, path), {"args": ["touch /tmp/owned"]})

    assert await attacker.call(address, ECHO, "still there?") == "still there?"


async def test_a_client_registers_nothing_for_another_workspace(
    attacker: RawClient, victim: RawClient
) -> None:
    """A published JavaScript client would: it takes the place of the context for another."""
    register = "services.built-in.register_service"
    victim.functions[register] = lambda *_: {"id": "posed"}

    asked: tuple[tuple[Any, ...], ...] = (({"id": "open"},), ({"id": "open"}, True, True, {}))
    for args in asked:
        with pytest.raises(Rejected, match="own workspace only"):
            await attacker.call(victim.address, register, *args)

    await assert_unharmed(attacker, victim)
    assert not [received for received in victim.received if received.method == register]


# Promises.


@pytest.mark.parametrize("callback", ["resolve", "reject", "heartbeat"])
@pytest.mark.parametrize("target", ["elsewhere/other", "other", "workspace-manager", 5, None])
async def test_a_promise_leads_to_nobody_but_the_caller(
    attacker: RawClient, victim: RawClient, callback: str, target: Any
) -> None:
    session = attacker.new_session()
    promise = promise_of(attacker.client_id, session)
    promise[callback] = {**promise["resolve"], "_rtarget": target}
    envelope = call_envelope(victim.address, ECHO, session=session)

    await attacker.send(envelope, {"args": ["x"], "promise": promise})

    await assert_unharmed(attacker, victim)
    assert not [received for received in victim.received if received.args == ["x"]]


@pytest.mark.parametrize("promise", [5, [], "x", {"interval": "soon"}, {"resolve": 5}])
async def test_a_promise_is_well_formed(
    attacker: RawClient, victim: RawClient, promise: Any
) -> None:
    await attacker.send(call_envelope(victim.address, ECHO), {"args": ["x"], "promise": promise})

    await assert_unharmed(attacker, victim)
    assert not [received for received in victim.received if received.args == ["x"]]


# Frames that would silence a client for good.


def _nested(levels: int) -> bytes:
    return b"\x81\xa4args" + b"\x91" * levels + b"\xc0"


def _to(address: str) -> bytes:
    return pack(call_envelope(address, ECHO))


def _bomb(address: str) -> bytes:
    return _to(address) + b"\x81\xa4args" + b"\xdd\x00\xff\xff\xff" * 1000


KILLERS: Final[dict[str, Callable[[str], bytes | str]]] = {
    "text": lambda to: "hello",
    "text that is a frame": lambda to: json.dumps(call_envelope(to, ECHO)),
    "nothing": lambda to: b"",
    "no type": lambda to: pack({"to": to, "method": ECHO}),
    "a type that is no text": lambda to: pack({"type": 5, "to": to}),
    "a type in a list": lambda to: pack({"type": ["method"], "to": to, "method": ECHO}),
    "an envelope that is no map": lambda to: pack([1, 2]),
    "a body that is a number": lambda to: _to(to) + pack(5),
    "a body that is a list": lambda to: _to(to) + pack([{"args": []}]),
    "no body but nil": lambda to: _to(to) + pack(None),
    "number keys in the envelope": lambda to: pack({1: 2} | call_envelope(to, ECHO)),
    "number keys in the body": lambda to: _to(to) + pack({1: 2}),
    "number keys deep in the body": lambda to: _to(to) + pack({"args": [[{"a": {1: 2}}]]}),
    "nil for a key": lambda to: _to(to) + pack({"args": [{None: 2}]}),
    "true for a key": lambda to: _to(to) + pack({"args": [{True: 2}]}),
    "arguments that are no list": lambda to: _to(to) + pack({"args": 5}),
    "a session that is no text": lambda to: pack(call_envelope(to, ECHO, session=[1])),
    "a parent that is no text": lambda to: pack(call_envelope(to, ECHO, parent=5)),
    "a truncated envelope": lambda to: _to(to)[:-1],
    "a truncated body": lambda to: _to(to) + pack({"args": ["x" * 100]})[:-1],
    "a byte that means nothing": lambda to: _to(to) + b"\xc1",
    "too many levels": lambda to: _to(to) + _nested(2_000),
    "lists that are announced, not there": _bomb,
    "text that is no UTF-8": lambda to: _to(to) + b"\x81\xa4args\x91\xa2\xff\xfe",
    "overlong UTF-8": lambda to: _to(to) + b"\x81\xa4args\x91\xa2\xc0\xaf",
    "half a surrogate": lambda to: _to(to) + b"\x81\xa4args\x91\xa3\xed\xa0\x80",
    "a broken timestamp": lambda to: _to(to) + b"\x81\xa4args\x91\xc7\x03\xff123",
    "a timestamp out of range": lambda to: _to(to) + b"\x81\xa4args\x91\xc7\x0c\xff" + b"\xff" * 12,
    "__proto__ in the envelope": lambda to: pack({**call_envelope(to, ECHO), "__proto__": {}}),
    "__proto__ in the arguments": lambda to: _to(to) + pack({"args": [{"__proto__": {}}]}),
    "more than a Python client reads": lambda to: _to(to) + pack({"args": ["x", bytes(1_023_000)]}),
    "more than a WebSocket client reads": lambda to: (
        _to(to) + pack({"args": ["x", bytes(1_100_000)]})
    ),
    "a message of many fields": lambda to: pack(
        {"type": "a", "to": to} | {str(i): i for i in range(70_000)}
    ),
    "a long message": lambda to: pack({"type": "a", "to": to, "x": bytes(1_050_000)}),
    "a message of many levels": lambda to: (
        b"\x83\xa1x" + b"\x91" * 700 + b"\xc0" + pack({"type": "a", "to": to})[1:]
    ),
    "a message with a number for a method": lambda to: pack({"type": "a", "to": to, "method": 5}),
    "no target": lambda to: pack({"type": "error", "message": "Traceback …"}),
    "a target that is no text": lambda to: pack({"type": "method", "to": 5, "method": ECHO}),
    "an empty target": lambda to: pack({"type": "method", "to": "", "method": ECHO}),
    "a target of slashes": lambda to: pack({"type": "method", "to": "///", "method": ECHO}),
}


@pytest.mark.parametrize("name", KILLERS)
async def test_a_bad_frame_harms_nobody(attacker: RawClient, victim: RawClient, name: str) -> None:
    before = len(victim.received)

    await attacker.send_raw(KILLERS[name](victim.address))

    assert await attacker.call(victim.address, ECHO, "still there?") == "still there?"
    arrived = victim.received[before:]
    assert [a.args for a in arrived if a.method == ECHO and a.args] == [["still there?"]] or (
        name.startswith("a message") and arrived
    )


async def test_a_published_client_survives_every_bad_frame(
    attacker: RawClient, program: Connection
) -> None:
    address = await program.address()

    for make in KILLERS.values():
        await attacker.send_raw(make(address))
        assert await attacker.call(address, ECHO, "still there?") == "still there?"


async def test_a_published_client_survives_values_of_many_levels(
    attacker: RawClient, program: Connection
) -> None:
    address = await program.address()

    for levels in (400, 500, 520, 900, 1_022):
        await attacker.send_raw(_to(address) + _nested(levels))

    assert await attacker.call(address, ECHO, "still there?") == "still there?"


async def test_a_flood_of_bad_frames_does_not_slow_others(
    attacker: RawClient, victim: RawClient, accomplice: RawClient
) -> None:
    for _ in range(200):
        await accomplice.send_raw(_bomb(victim.address))
    started = time.monotonic()

    assert await attacker.call(victim.address, ECHO, 1) == 1

    assert time.monotonic() - started < 2


# Messages in chunks.


async def send_in_chunks(
    sender: RawClient, target: str, message: bytes, key: str = "key", size: int = 40
) -> None:
    await sender.cache(target, "create", key, False)
    for start in range(0, len(message), size):
        await sender.cache(target, "append", key, message[start : start + size], False)
    await sender.cache(target, "process", key, False)


async def test_an_honest_message_in_chunks_arrives(
    attacker: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    message = frame(call_envelope(victim.address, ECHO), {"args": [list(range(100)), b"x" * 500]})

    await send_in_chunks(attacker, victim.address, message)

    assert cache.processed == [message]
    assert cache.entries == {}


@pytest.mark.parametrize("key", FORGED)
async def test_a_field_forged_inside_chunks_does_not_arrive(
    attacker: RawClient, victim: RawClient, cache: MessageCache, key: str
) -> None:
    message = frame(call_envelope(victim.address, ECHO), {"args": ["x" * 100], key: FORGED[key]})

    with pytest.raises(Rejected, match="The body of a call has no"):
        await send_in_chunks(attacker, victim.address, message)

    assert cache.processed == []
    await assert_unharmed(attacker, victim)


@pytest.mark.parametrize("method", [*TRAVERSALS[:-1], f"{CACHE}process"])
async def test_a_path_that_leads_out_inside_chunks_is_refused(
    attacker: RawClient, victim: RawClient, cache: MessageCache, method: str
) -> None:
    message = frame(call_envelope(victim.address, method), {"args": []})

    if method != "services":
        with pytest.raises(Rejected, match="leads out|cannot hold another"):
            await send_in_chunks(attacker, victim.address, message)
        assert cache.processed == []
    await assert_unharmed(attacker, victim)


@pytest.mark.parametrize(
    "message",
    [
        frame({"type": "disconnect"}, {}),
        frame({"type": "method", "method": ECHO, "ctx": {}}, {"args": []}),
        frame({"type": "method", "method": ECHO}, 5),
        frame({"type": "method", "method": ECHO}, {1: 2}),
        frame({"type": "method", "method": ECHO}, {"args": [], b"from": "x"}),
        frame({"type": "method", "method": ECHO}, {"promise": promise_of("elsewhere/x", "s")}),
        frame({"type": "method", "method": ECHO}, {"args": []})[:-1],
        frame({"type": "method", "method": ECHO}, {"args": []}) + b"more",
        frame([1, 2, 3]),
        b"\xc1",
        b"",
        b"\xdd\x00\xff\xff\xff" * 900,
    ],
)
async def test_a_bad_message_in_chunks_is_refused(
    attacker: RawClient, victim: RawClient, cache: MessageCache, message: bytes
) -> None:
    try:
        await send_in_chunks(attacker, victim.address, message, size=25)
    except Rejected:
        pass
    else:
        # A third value is one that clients do not look at.
        assert message.endswith(b"more")
        return

    assert cache.processed == []
    await assert_unharmed(attacker, victim)


@pytest.mark.parametrize(
    "args",
    [[], [5], [None], [["key"]], ["key", "text"], ["key", 5], ["key"], ["key", b"x", True, 1, 2]],
)
async def test_the_cache_is_called_as_clients_call_it(
    attacker: RawClient, victim: RawClient, cache: MessageCache, args: list[Any]
) -> None:
    await attacker.cache(victim.address, "create", "key")

    with pytest.raises(Rejected):
        await attacker.cache(victim.address, "append", *args)

    assert b"".join(cache.entries.values()) == b""


@pytest.mark.parametrize("action", ["destroy", "create.x", "create.__globals__", ""])
async def test_the_cache_has_no_other_functions(
    attacker: RawClient, victim: RawClient, action: str
) -> None:
    with pytest.raises(Rejected):
        await attacker.cache(victim.address, action, "key")


HEAD: Final = pack({"type": "method", "method": "services.open.echo"})
# In a message of its own it is the inside of an argument; behind HEAD it is a forged body.
FORGERY: Final = pack({"args": [], "from": "elsewhere/root"})
HOLE: Final = b"\x81\xa4args\x91" + b"\xc4" + bytes([len(FORGERY)])  # … bytes of that length
HARMLESS_TO_FORGERY: Final = HEAD + HOLE


async def test_two_senders_cannot_write_into_one_message(
    attacker: RawClient, accomplice: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    """Each of the two messages is harmless; one behind the other they would not be."""
    to = victim.address
    await attacker.cache(to, "create", "key", False)
    await attacker.cache(to, "append", "key", HARMLESS_TO_FORGERY, False)
    await accomplice.cache(to, "create", "key", False)
    await accomplice.cache(to, "append", "key", HEAD, False)

    await attacker.cache(to, "append", "key", FORGERY, False)
    await attacker.cache(to, "process", "key", False)

    assert cache.processed == [HARMLESS_TO_FORGERY + FORGERY]


async def test_two_senders_cannot_write_into_one_answer(
    attacker: RawClient, accomplice: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    to = victim.address
    await attacker.cache(to, "create", "session", True)
    await attacker.cache(to, "append", "session", HARMLESS_TO_FORGERY, True)
    await accomplice.cache(to, "create", "session", True)
    await accomplice.cache(to, "append", "session", HEAD, True)

    await attacker.cache(to, "append", "session", FORGERY, True)
    await attacker.cache(to, "process", "session", True)

    assert cache.processed in ([], [HARMLESS_TO_FORGERY + FORGERY])


async def test_a_message_that_is_begun_again_is_followed_from_its_start(
    attacker: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    to = victim.address
    await attacker.cache(to, "create", "key", False)
    await attacker.cache(to, "append", "key", HARMLESS_TO_FORGERY, False)
    await attacker.cache(to, "create", "key", False, False)

    with pytest.raises(Rejected):
        await attacker.cache(to, "append", "key", FORGERY, False)

    assert cache.processed == []
    assert b"".join(cache.entries.values()) == b""


@pytest.mark.parametrize("first", [True, False])
async def test_a_message_has_heartbeats_all_along_or_never(
    attacker: RawClient, victim: RawClient, cache: MessageCache, first: bool
) -> None:
    """Keys with heartbeats and without are different entries at the target."""
    to, message = victim.address, HARMLESS_TO_FORGERY + FORGERY
    await attacker.cache(to, "create", "key", first)
    for position, byte in enumerate(message):
        await attacker.cache(to, "append", "key", bytes([byte]), bool(position % 2))
    await attacker.cache(to, "process", "key", not first)

    assert cache.processed == [message]


async def test_what_was_processed_or_removed_is_begun_anew(
    attacker: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    to = victim.address
    await attacker.cache(to, "create", "one", False)
    await attacker.cache(to, "append", "one", HARMLESS_TO_FORGERY, False)
    await attacker.cache(to, "remove", "one")
    await send_in_chunks(attacker, to, HARMLESS_TO_FORGERY + FORGERY, key="two")

    for key in ("one", "two", "three"):
        for action, args in (("append", [FORGERY]), ("process", []), ("remove", [])):
            with pytest.raises(Rejected, match="was begun"):
                await attacker.cache(to, action, key, *args)

    assert cache.processed == [HARMLESS_TO_FORGERY + FORGERY]


async def test_a_message_that_its_target_could_not_process_is_begun_anew(
    attacker: RawClient, victim: RawClient, cache: MessageCache
) -> None:
    """The target keeps what it could not process, so nothing may be added to it."""
    to = victim.address
    victim.functions[f"{CACHE}process"] = lambda key, heartbeat: None
    await send_in_chunks(attacker, to, HEAD + pack({"args": []}))

    with pytest.raises(Rejected, match="was begun"):
        await attacker.cache(to, "append", "key", FORGERY, False)

    assert list(cache.entries.values()) == [HEAD + pack({"args": []})]


@pytest.mark.parametrize("promise", [None, {}])
async def test_a_chunk_that_got_lost_takes_its_message_with_it(
    private: Gateway, redis: Redis, promise: dict[str, Any] | None
) -> None:
    """The mailbox of a client that is away takes small chunks still when it takes no large one."""
    async with await RawClient.connect(private.url) as victim:
        await victim.offer("open", "public", echo=lambda value: value)
        to, token = victim.address, victim.info["reconnection_token"]
        victim.break_off()
    async with asyncio.timeout(LIMIT):
        state = PRIVATE.client(to)
        while await redis.hget(state, "state") != b"suspended":  # noqa: ASYNC110  (only Redis knows)
            await asyncio.sleep(0.01)

    async with await RawClient.connect(private.url) as attacker:
        for action, args in (
            ("create", ["key", False]),
            ("append", ["key", HEAD, False]),
            ("append", ["key", b"\x81\xa4args\x92\xc5\x13\x88" + bytes(5_000), False]),
            ("append", ["key", b"\xc4" + bytes([len(FORGERY)]), False]),
            ("append", ["key", FORGERY, False]),
            ("process", ["key", False]),
        ):
            session = {} if promise is None else {"session": attacker.new_session()}
            body = {"args": args} if promise is None else {"args": args, "promise": promise}
            await attacker.send(call_envelope(to, CACHE + action, **session), body)
        async with await RawClient.connect(
            private.url, victim.client_id, reconnection_token=token
        ) as again:
            await attacker.call(to, "services.built-in.ping", "ping")

    cache = MessageCache(again)
    for received in again.received:
        if received.method.startswith(CACHE):
            with contextlib.suppress(KeyError):  # as a client answers for what it does not have
                getattr(cache, received.method.removeprefix(CACHE))(*received.args)
    assert cache.processed == []


async def test_a_chunk_that_was_turned_away_takes_its_message_with_it(private: Gateway) -> None:
    """A client that is slow is sent no calls, but is all the same when it has caught up."""
    async with (
        await RawClient.connect(private.url) as attacker,
        await RawClient.connect(private.url) as victim,
    ):
        await victim.offer("open", "public", echo=len)  # no answer is too much for the attacker
        cache, to = MessageCache(victim), victim.address
        await attacker.cache(to, "create", "key", False)
        await attacker.cache(to, "append", "key", HEAD, False)
        victim.pause()
        session = attacker.new_session()
        body = {"args": [bytes(900_000)], "promise": promise_of(attacker.client_id, session)}
        async with asyncio.timeout(LIMIT):
            while not [r for r in attacker.received if r.method == f"{session}.reject"]:
                await attacker.send(call_envelope(to, ECHO, session=session), body)
                await attacker.manager("echo", 1)
        with pytest.raises(Rejected, match="is busy"):
            await attacker.cache(to, "append", "key", HOLE, False)
        victim.resume()
        await caught_up(attacker, to)

        for action, args in (("append", [FORGERY, False]), ("process", [False])):
            with suppress(Rejected):
                await attacker.cache(to, action, "key", *args)

    assert cache.processed == []


async def caught_up(sender: RawClient, target: str) -> None:
    """Wait until a client takes calls again."""
    async with asyncio.timeout(LIMIT):
        while True:
            with suppress(Rejected):
                await sender.call(target, "services.built-in.ping", "ping")
                return
            await asyncio.sleep(0.01)


async def test_no_crowd_gets_two_senders_to_write_into_one_answer(
    attacker: RawClient, accomplice: RawClient, victim: RawClient, cache: MessageCache, hub: Hub
) -> None:
    to = victim.address
    async with await RawClient.connect(hub.first) as crowd:
        for sender, parts in ((attacker, [HARMLESS_TO_FORGERY]), (accomplice, [HEAD])):
            with suppress(Rejected):
                await sender.cache(to, "create", "session", True)
                for part in parts:
                    await sender.cache(to, "append", "session", part, True)
            for number in range(1_100):
                envelope = call_envelope(to, f"{CACHE}create", session=crowd.new_session())
                await crowd.send(envelope, {"args": [f"{number}", True], "promise": {}})
            await crowd.call(to, "services.built-in.ping", "ping")

        for action, args in (("append", [FORGERY, True]), ("process", [True])):
            with suppress(Rejected):
                await attacker.cache(to, action, "session", *args)

    assert HEAD + FORGERY not in cache.processed


async def test_no_two_messages_of_a_published_client_are_mixed(
    attacker: RawClient, accomplice: RawClient, program: Connection
) -> None:
    to = await program.address()
    await attacker.cache(to, "create", "key", False)
    await attacker.cache(to, "append", "key", HARMLESS_TO_FORGERY, False)
    await accomplice.cache(to, "create", "key", False)
    await accomplice.cache(to, "append", "key", HEAD, False)
    session = attacker.new_session()
    body = {"args": ["x" * 2_000], "promise": promise_of(attacker.client_id, session)}
    message = frame(call_envelope(to, "services.open.echo", session=session), body)

    await send_in_chunks(attacker, to, message, key="other", size=700)

    answer = await attacker.until(lambda received: received.method == f"{session}.resolve")
    assert answer.args == ["x" * 2_000]


# The hub itself.


async def node_of(client: RawClient) -> str:
    """The address of the node that a client is attached to, from a call that it makes."""
    register = "services.built-in.register_service"
    client.functions[register] = lambda *_: None
    with pytest.raises(Rejected):
        await client.manager("register_service", {"id": "never"})
    return next(received.source for received in client.received if received.method == register)


async def test_what_is_no_call_does_not_disturb_a_node(
    attacker: RawClient, victim: RawClient
) -> None:
    node = await node_of(victim)

    for target in (node, f"{victim.workspace}/{MANAGER}", MANAGER):
        await attacker.send({"type": "news", "to": target})
        await attacker.send({"type": "news", "to": target, "method": 5})
        await attacker.send(
            {"type": "news", "to": target, "x": bytes(3_000), "method": "a" * 3_000}
        )
        await attacker.send(call_envelope(target, "nothing.resolve"))
        await attacker.send(call_envelope(target, "a" * 3_000))
        await attacker.send(call_envelope(target, "services"), {"args": []})
        await attacker.send(call_envelope(target, f"{CACHE}process"), {"args": ["key"]})
        await attacker.send_raw(pack(call_envelope(target, ECHO)) + _nested(1_000))

    await assert_unharmed(attacker, victim)
    assert await victim.manager("echo", "and the hub?") == "and the hub?"


async def test_a_huge_frame_does_not_disturb_a_node(attacker: RawClient, victim: RawClient) -> None:
    node = await node_of(victim)
    limit = 16 * 2**20
    envelope = pack(call_envelope(node, "x" * 3_000))
    padding = limit - len(envelope) - len(pack({"args": [bytes(2**17)]})) + 2**17

    await attacker.send_raw(envelope + pack({"args": [bytes(padding - 20)]}))

    await assert_unharmed(attacker, victim)


async def test_functions_of_another_workspaces_manager_are_refused(
    attacker: RawClient, victim: RawClient
) -> None:
    manager = f"{victim.workspace}/{MANAGER}"
    attempts: dict[str, list[Any]] = {
        "echo": ["x"],
        "log": ["x"],
        "register_service": [{"id": "mine"}],
        "update_client_info": [{"id": attacker.client_id, "services": []}],
        "list_clients": [],
        "generate_token": [],
        "set": [{"description": "mine"}],
        "get_summary": [],
        "get_workspace_info": [],
        "install_application": [{"name": "a", "id": "a", "tags": [], "type": "a"}],
    }

    for function, args in attempts.items():
        with pytest.raises(Rejected, match="Permission denied"):
            await attacker.call(manager, f"services.default.{function}", *args)

    assert await attacker.call(manager, "services.default.list_services") == [
        service
        for service in await victim.manager("list_services", {"workspace": victim.workspace})
        if service["config"]["visibility"] == "public"
    ]


async def test_a_node_does_for_nobody_what_a_manager_would_not(
    attacker: RawClient, victim: RawClient
) -> None:
    node = await node_of(victim)

    for function in ("list_clients", "generate_token", "get_summary"):
        with pytest.raises(Rejected):
            await attacker.call(node, f"services.default.{function}")


async def test_a_client_lists_no_services_for_another(
    attacker: RawClient, victim: RawClient
) -> None:
    token = await victim.manager("generate_token")
    mate = await RawClient.connect(attacker_url(attacker), workspace=victim.workspace, token=token)

    with pytest.raises(Rejected, match="must be the caller's own"):
        await mate.manager("update_client_info", {"id": victim.client_id, "services": []})

    await mate.close()
    assert (await attacker.manager("get_service", f"{victim.address}:open"))["id"] == (
        f"{victim.address}:open"
    )


def attacker_url(client: RawClient) -> str:
    url: str = client.info["public_base_url"]
    return url


async def test_a_reply_to_a_call_of_the_hubs_comes_from_the_called(
    attacker: RawClient, accomplice: RawClient, victim: RawClient
) -> None:
    asked = "services.built-in.get_service"
    true_api = victim.functions.pop(asked)("open")
    lookup = asyncio.create_task(
        accomplice.manager("get_service", f"{victim.address}:open"), name="lookup"
    )
    question = await victim.until(lambda received: received.method == asked)
    session = question.envelope["session"]
    forged = {**true_api, "echo": {**true_api["echo"], "_rtarget": attacker.address}}

    for target in (question.source, f"{attacker.workspace}/{question.source.split('/')[1]}"):
        await attacker.send(call_envelope(target, f"{session}.resolve"), {"args": [forged]})
        await attacker.send(call_envelope(target, f"{session}.reject"), {"args": ["no"]})
    await assert_unharmed(attacker, victim)
    await victim.send(call_envelope(question.source, f"{session}.resolve"), {"args": [true_api]})

    assert (await lookup)["echo"]["_rtarget"] == victim.address


async def test_what_a_provider_describes_badly_is_an_error_for_whoever_asks(
    attacker: RawClient, victim: RawClient
) -> None:
    full_id = await attacker.offer("bad", "public", f=lambda: None)
    reference = {"_rtype": "method", "_rtarget": attacker.address, "_rmethod": "services.bad.f"}
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]

    apis: tuple[Any, ...] = (
        None,
        5,
        [],
        {"f": {"_rtype": "method"}},
        {"f": {**reference, "_rtarget": 5}},
        {"f": {**reference, "_rmethod": None}},
        {"f": {**reference, "_rmethod": "services.bad.f.__globals__.x"}},
        {"f": deep},
    )
    for api in apis:
        attacker.functions["services.built-in.get_service"] = partial(_answer, api)
        with pytest.raises(Rejected) as refused:
            await victim.manager("get_service", full_id)
        assert "operator" not in str(refused.value)


def _answer(api: Any, wanted: str) -> Any:
    return api


async def test_a_lookup_cannot_be_used_to_keep_the_hub_busy(
    attacker: RawClient, accomplice: RawClient, victim: RawClient
) -> None:
    """Heartbeats come at a bearable rate, whatever interval a caller asks for."""
    full_id = await accomplice.offer("slow", "public", f=lambda: None)
    del accomplice.functions["services.built-in.get_service"]
    session = attacker.new_session()
    promise = promise_of(attacker.client_id, session)
    promise["heartbeat"] = {**promise["resolve"], "_rmethod": f"{session}.beat"}
    lookup = call_envelope(MANAGER, "services.default.get_service", session=session)
    for interval in (1e-9, float("inf"), float("nan"), -1):
        body = {"args": [full_id], "promise": {**promise, "interval": interval}}
        await attacker.send(lookup, body)

    await accomplice.until(lambda received: received.method == "services.built-in.get_service")
    for _ in range(50):
        assert await attacker.call(victim.address, ECHO, 1) == 1

    beats = [received for received in attacker.received if received.method == f"{session}.beat"]
    assert len(beats) < 50


# Names.


@pytest.mark.parametrize(
    "client_id",
    [
        "a/b",
        "a:b",
        "*",
        "~x",
        "workspace-manager",
        "{x}",
        "a b",
        "a\nb",
        "a\x00b",
        "a?b",
        "x" * 300,
    ],
)
async def test_a_client_cannot_take_a_name_that_means_something(hub: Hub, client_id: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(hub.first, client_id)

    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


async def test_a_client_cannot_pose_as_the_node_that_it_is_on(hub: Hub, victim: RawClient) -> None:
    node = (await node_of(victim)).partition("/")[2]

    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(hub.second, node)

    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


@pytest.mark.parametrize("name", ["a/b", "a:b", "*", "~x", "{x}", "a b", "", "a}b"])
async def test_a_workspace_cannot_have_a_name_that_means_something(
    attacker: RawClient, name: str
) -> None:
    config = {"name": name, "owners": [], "visibility": "public"}

    with pytest.raises(Rejected, match="cannot be a workspace name"):
        await attacker.manager("create_workspace", config)


@pytest.mark.parametrize("service", ["*", "{x}", "a\nb", "", "x" * 300])
async def test_a_service_cannot_have_a_name_that_means_something(
    attacker: RawClient, service: str
) -> None:
    services = [{"id": f"{attacker.client_id}:{service}", "config": {}}]

    with pytest.raises(Rejected, match="cannot be a service id"):
        await attacker.manager(
            "update_client_info", {"id": attacker.client_id, "services": services}
        )

    assert await attacker.manager("list_services") == []


@pytest.mark.parametrize("suffix", [":services", ":services:mail", ":mail", ":", "/x", "}", "{"])
async def test_what_is_no_address_is_nobodys(
    attacker: RawClient, victim: RawClient, suffix: str
) -> None:
    with pytest.raises(Rejected, match="not found"):
        await attacker.call(victim.address + suffix, ECHO, "x")


async def test_an_address_in_use_is_not_given_away(hub: Hub, victim: RawClient) -> None:
    token = await victim.manager("generate_token")

    for query in ({"token": token, "workspace": victim.workspace}, {"workspace": victim.workspace}):
        with pytest.raises(InvalidStatus) as refused:
            await RawClient.connect(hub.first, victim.client_id, **query)
        assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP

    assert await victim.manager("echo", 1) == 1


async def test_a_workspace_is_entered_by_its_owner_only(hub: Hub, victim: RawClient) -> None:
    for workspace in (victim.workspace, "public", "no-such-workspace"):
        with pytest.raises(InvalidStatus) as refused:
            await RawClient.connect(hub.first, workspace=workspace)
        assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


async def test_a_workspace_is_overwritten_by_its_owner_only(
    attacker: RawClient, victim: RawClient
) -> None:
    config = {"name": victim.workspace, "owners": [], "visibility": "public"}

    with pytest.raises(Rejected, match="already exists"):
        await attacker.manager("create_workspace", config)
    with pytest.raises(Rejected, match="Permission denied"):
        await attacker.manager("create_workspace", config, overwrite=True)

    info = await victim.manager("get_workspace_info")
    assert info["owners"] == [victim.workspace]
    assert info["visibility"] == "protected"


# Tokens.


def signed(claims: dict[str, Any], secret: str = "", algorithm: str = "HS256") -> str:
    def part(value: bytes) -> str:
        return urlsafe_b64encode(value).rstrip(b"=").decode()

    header = {"alg": algorithm, "typ": "JWT"}
    text = ".".join(part(json.dumps(value).encode()) for value in (header, claims))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{part(signature) if secret else ''}"


CLAIMS: Final = {
    "iss": "https://imjoy.io/",
    "aud": "https://imjoy.eu.auth0.com/api/v2/",
    "sub": "root",
    "exp": 4_000_000_000,
    "scope": "public",
    "https://api.imjoy.io/roles": ["admin"],
    "https://api.imjoy.io/email": "root@example.com",
}


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "..",
        "@imjoy@",
        "root@imjoy@",
        "é.è.ê",
        signed(CLAIMS, algorithm="none"),
        signed(CLAIMS, algorithm="None"),
        signed(CLAIMS, "another secret"),
        signed(CLAIMS, "another secret", algorithm="RS256"),
        signed(CLAIMS, "", algorithm="HS256"),
        "root@imjoy@" + signed(CLAIMS, "another secret"),
    ],
)
async def test_a_token_that_the_hub_did_not_make_is_refused(hub: Hub, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(hub.first, token=token)

    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


@pytest.mark.parametrize("change", ["sub", "scope", "parent", "exp"])
async def test_a_tampered_token_is_refused(hub: Hub, victim: RawClient, change: str) -> None:
    token: str = await victim.manager("generate_token")
    prefix, _, jwt = token.partition("@imjoy@")
    header, claims, signature = jwt.split(".")
    forged = signed({**CLAIMS, change: "root"}).split(".")[1]
    assert forged != claims

    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(hub.first, token=f"{prefix}@imjoy@{header}.{forged}.{signature}")

    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


async def test_a_token_of_either_kind_is_none_of_the_other(hub: Hub, victim: RawClient) -> None:
    access = await victim.manager("generate_token")
    back = victim.info["reconnection_token"]

    for query in (
        {"token": back},
        {"token": f"x@imjoy@{back}"},
        {"reconnection_token": access},
        {"reconnection_token": access.partition("@imjoy@")[2]},
    ):
        with pytest.raises(InvalidStatus) as refused:
            await RawClient.connect(hub.first, victim.client_id, **query)
        assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


async def test_a_reconnection_token_is_for_one_address(
    hub: Hub, victim: RawClient, attacker: RawClient
) -> None:
    token = attacker.info["reconnection_token"]

    for query in (
        {"client_id": victim.client_id},
        {"client_id": attacker.client_id, "workspace": victim.workspace},
        {"client_id": victim.client_id, "workspace": victim.workspace},
    ):
        with pytest.raises(InvalidStatus) as refused:
            await RawClient.connect(hub.first, reconnection_token=token, **query)
        assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


async def test_a_token_lets_into_its_workspaces_only(
    hub: Hub, victim: RawClient, attacker: RawClient
) -> None:
    token = await attacker.manager("generate_token")

    with pytest.raises(InvalidStatus):
        await RawClient.connect(hub.first, token=token, workspace=victim.workspace)
    with pytest.raises(Rejected, match="Permission denied"):
        await attacker.manager("generate_token", {"scopes": [victim.workspace]})
    with pytest.raises(Rejected, match="only be your own"):
        await attacker.manager("generate_token", {"email": "root@example.com"})


async def test_an_expired_token_is_refused(hub: Hub, attacker: RawClient) -> None:
    token = await attacker.manager("generate_token", {"expires_in": 1e-9})  # over when it is made

    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(hub.first, token=token)

    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP


# HTTP.


def http(url: str | urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
async def secretive(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.second) as client:
        await client.offer("closed", secret=lambda: "the secret")
        yield client


async def test_a_protected_service_cannot_be_reached_by_http(
    hub: Hub, secretive: RawClient
) -> None:
    workspace, client = secretive.workspace, secretive.client_id

    for service in ("closed", f"{client}:closed", "*:closed"):
        for path in (service, f"{service}/secret"):
            url = f"{hub.first}/{workspace}/services/{path}"
            code, text = await asyncio.to_thread(http, url)
            assert code in (401, 403, 404), text
            assert "the secret" not in text

    assert not [r for r in secretive.received if r.method == "services.closed.secret"]


async def test_a_long_call_by_http_is_made_by_whoever_makes_it(
    hub: Hub, victim: RawClient, cache: MessageCache
) -> None:
    """A call that goes in chunks has the caller of the chunks."""
    url = f"{hub.first}/{victim.workspace}/services/{victim.client_id}:open/echo"
    body = json.dumps({"value": "x" * 700_000}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    answer = asyncio.create_task(asyncio.to_thread(http, request))

    process = await victim.until(lambda received: received.method == f"{CACHE}process")
    (message,) = cache.processed
    call = unpack(message)
    resolve = call.body["promise"]["resolve"]
    await victim.send(
        call_envelope(resolve["_rtarget"], resolve["_rmethod"]), {"args": [len(message)]}
    )

    assert (await answer)[0] == 200
    assert process.envelope["user"]["id"] != "root"
    assert process.envelope["user"]["is_anonymous"]


async def test_the_sessions_of_the_hub_cannot_be_guessed(victim: RawClient) -> None:
    sessions = []
    for _ in range(3):
        await node_of(victim)
    for received in victim.received:
        if received.method == "services.built-in.register_service":
            sessions.append(received.envelope["session"])

    assert len(set(sessions)) == 3
    # Nothing of one is in the next but what chance puts there.
    assert len(os.path.commonprefix(sessions)) < 6


async def test_a_protected_service_cannot_be_fetched(
    attacker: RawClient, secretive: RawClient
) -> None:
    workspace, client = secretive.workspace, secretive.client_id

    for query in (
        f"{workspace}/{client}:closed",
        f"{workspace}/*:closed",
        {"workspace": workspace, "id": "closed"},
        {"workspace": workspace, "id": f"{client}:closed"},
    ):
        with pytest.raises(Rejected, match="Permission denied"):
            await attacker.manager("get_service", query)
    assert await attacker.manager("list_services", workspace) == []


async def test_a_token_is_in_no_log(private: Gateway) -> None:
    async with await RawClient.connect(private.url) as client:
        token = await client.manager("generate_token")
        secret = token.rpartition(".")[2]

        for query in ({"token": token[:-2]}, {"reconnection_token": token}):
            with pytest.raises(InvalidStatus):
                await RawClient.connect(private.url, **query)
        await client.manager("log", f"my token is {token}")
        await client.send(call_envelope(token, f"x.__{token}"))
        await client.manager("echo", 1)

    assert secret[:-2] not in private.log()


async def test_a_client_cannot_write_lines_into_the_log(private: Gateway) -> None:
    async with await RawClient.connect(private.url) as client:
        for text in ("a\nFORGED", "a\r\nFORGED", "a\x85FORGED", "a\u2028FORGED", "\x1b[2JFORGED"):
            await client.manager("log", text)
            await client.send(call_envelope("x", f"x.__{text}"))
            with pytest.raises(InvalidStatus):
                await RawClient.connect(private.url, workspace=text)

    assert not [line for line in private.log().splitlines() if line.startswith("FORGED")]
    assert "\x1b" not in private.log()


async def test_a_long_text_of_a_client_is_not_written_to_the_log(
    private: Gateway,
) -> None:
    before = len(private.log())
    async with await RawClient.connect(private.url) as client:
        for method in ("x.__" + "eyJ" * 100_000, "eyJ" * 100_000):
            await client.send(call_envelope("nobody", method))
        assert await client.manager("echo", 1) == 1

    assert len(private.log()) - before < 20_000


# Names without end.

LONG: Final = "L" * 900_000
WITH_A_LONG_NAME: Final[dict[str, MakeFrame]] = {
    "an address": lambda me, to: frame({"type": "news", "to": f"x/{LONG}"}),
    "an address of a call": lambda me, to: calling(me, f"x/{LONG}", ECHO),
    "a manager's address": lambda me, to: calling(
        me, f"{LONG}/{MANAGER}", "services.built-in.get_service"
    ),
    "a method": lambda me, to: calling(me, to, f"services.{LONG}"),
    "a function of the hub": lambda me, to: calling(me, MANAGER, f"services.default.{LONG}"),
    "a service of the hub": lambda me, to: calling(me, MANAGER, f"services.{LONG}.f"),
    "a session": lambda me, to: calling(me, to, ECHO, session=LONG),
    "a parent": lambda me, to: calling(me, to, ECHO, parent=LONG),
    "a callback": lambda me, to: frame(
        call_envelope(to, ECHO, session="s"), {"promise": promise_of(me.client_id, LONG)}
    ),
    "the key of a message": lambda me, to: frame(
        call_envelope(to, f"{CACHE}create"),
        {"args": [LONG, False], "promise": promise_of(me.client_id, "s")},
    ),
    "the answer to nobody": lambda me, to: frame(
        call_envelope(to, f"{LONG}.resolve"), {"args": []}
    ),
    "a query": lambda me, to: calling(me, MANAGER, "services.default.get_service", LONG),
    "a query of the wrong kind": lambda me, to: calling(
        me, MANAGER, "services.default.get_service", [[LONG]]
    ),
    "a mode": lambda me, to: calling(
        me, MANAGER, "services.default.get_service", {"id": "x", "mode": LONG}
    ),
    "a name of a workspace": lambda me, to: calling(
        me,
        MANAGER,
        "services.default.create_workspace",
        {"name": LONG, "owners": [], "visibility": 1},
    ),
    "a name of a service": lambda me, to: calling(
        me, MANAGER, "services.default.register_service", {"id": LONG}
    ),
    "an option": lambda me, to: calling(me, MANAGER, "services.default.generate_token", {LONG: 1}),
    "a keyword": lambda me, to: frame(
        call_envelope(MANAGER, "services.default.echo", session="s"),
        {"args": [{LONG: 1}], "with_kwargs": True, "promise": promise_of(me.client_id, "s")},
    ),
}


def calling(me: RawClient, to: str, method: str, *args: Any, **fields: Any) -> bytes:
    body = {"args": list(args), "promise": promise_of(me.client_id, "s")}
    return frame(call_envelope(to, method, **{"session": "s", **fields}), body)


@pytest.mark.parametrize("name", WITH_A_LONG_NAME)
async def test_no_name_without_end_is_passed_on_or_repeated(
    attacker: RawClient, victim: RawClient, name: str
) -> None:
    for _ in range(3):
        await attacker.send_raw(WITH_A_LONG_NAME[name](attacker, victim.address))

    await assert_unharmed(attacker, victim)
    for client in (attacker, victim):
        assert max(len(frame(*received)) for received in client.received) < 20_000


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
async def test_no_host_without_end_is_kept_or_repeated(private: Gateway, header: str) -> None:
    async with await RawClient.connect(private.url) as client:
        paths = (f"/{client.workspace}/services", "/public/services/default", "/login", "/public")
        named = {header.replace("-", "_"): "h" * 5_000}
        for path in paths:
            answer = await ask(f"{private.url}{path}", **named)
            assert answer.status < 500
            assert b"h" * 300 not in answer.body

        assert (await ask(f"{private.url}{paths[0]}", **named)).status == 400
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                f"{private.url.replace('http', 'ws')}/ws?client_id=x",
                additional_headers={header: "h" * 5_000},
            )
    assert refused.value.response.status_code in (400, 403)  # a second Host is none of HTTP
    assert "Traceback" not in private.log()
