"""Messages in chunks: they are followed as if they had come whole, whatever is tried."""

import gc
import random
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack
import pytest

from hypha_cluster.errors import BadFrame, Overloaded
from hypha_cluster.protocol.chunks import (
    Assembler,
    CacheCall,
    ChunkGuard,
    Leftover,
    parse_cache_call,
    split,
)
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.protocol.limits import CHUNK, IDLE_MESSAGE, MESSAGES, PATH
from hypha_cluster.protocol.room import Room

ME, YOU = "home/me", "home/you"
LIMIT = 2**26
READER = FrameReader(2**24)
ENVELOPE: Final[dict[Any, Any]] = {
    "type": "method",
    "to": YOU,
    "method": "services.s.f",
    "session": "x",
}


def cache_frame(action: str, *args: Any, **kwargs: Any) -> Frame:
    body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": list(args)}
    return READER.read(pack({"type": "method", "method": CACHE + action}) + pack(body))


def follow(guard: ChunkGuard, action: str, *args: Any, target: str = YOU) -> list[Any]:
    """Follow a call that arrives, and return what the target gets."""
    step = guard.check(cache_frame(action, *args), target)
    guard.arrived(step)
    return step.args


def promise(target: str = ME) -> dict[str, Any]:
    def reference(name: str) -> dict[str, Any]:
        return {"_rtype": "method", "_rtarget": target, "_rmethod": name, "_rpromise": False}

    return {"interval": 1.5, "resolve": reference("s.resolve"), "reject": reference("s.reject")}


class Target:
    """A client's message cache, as trusting as the published ones, behind a guard."""

    def __init__(self, guard: ChunkGuard, entries: dict[str, bytes] | None = None) -> None:
        self.guard = guard
        self.entries = {} if entries is None else entries
        self.processed: list[bytes] = []

    def take(self, action: str, *args: Any, **kwargs: Any) -> None:
        step = self.guard.check(cache_frame(action, *args, **kwargs), YOU)
        key, *rest = step.args
        if action == "create":
            overwrite = len(rest) > 1 and rest[1]
            assert overwrite or key not in self.entries
            self.entries[key] = b""
        elif action == "append":
            self.entries[key] += rest[0]
        elif action == "process":
            self.processed.append(self.entries.pop(key))
        else:
            del self.entries[key]
        self.guard.arrived(step)

    def send(self, pieces: list[bytes], key: str = "key") -> None:
        self.take("create", key, False)
        for piece in pieces:
            self.take("append", key, piece, False)
        self.take("process", key, False)


def verdict(pieces: list[bytes]) -> bool:
    """Say whether a message passes when it comes in these pieces."""
    target = Target(ChunkGuard(ME, LIMIT))
    try:
        target.send(pieces)
    except BadFrame:
        assert target.processed == []
        return False
    assert target.processed == [b"".join(pieces)]
    return True


# The same verdict, however a message is cut.


def _value(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice((None, True, 0, -1, 255, 2**40, -(2**40), 2**63, 1.5)),
        lambda: "x" * rng.choice((0, 5, 31, 32, 255, 256, 3_000)),
        lambda: bytes(rng.choice((0, 5, 255, 256, 3_000))),
        lambda: msgpack.ExtType(5, bytes(rng.choice((1, 2, 4, 8, 16, 3, 300)))),
    ]
    if depth < 3:
        kinds += [
            lambda: [_value(rng, depth + 1) for _ in range(rng.choice((0, 3, 15, 16)))],
            lambda: {str(n): _value(rng, depth + 1) for n in range(rng.choice((0, 3, 16)))},
        ]
    return rng.choice(kinds)()


GOOD: Final = [
    pack(ENVELOPE) + pack({"args": [1, "two", {"three": [4.0, None, True]}]}),
    pack(ENVELOPE) + pack({"args": [], "with_kwargs": True, "promise": promise()}),
    pack(ENVELOPE) + pack({"promise": promise("me"), "args": [bytes(300), "x" * 300]}),
    pack({**ENVELOPE, "from": "forged", "user": {"id": "root", "scopes": ["a"] * 20}}) + pack({}),
    pack(ENVELOPE) + b"\xde\x00\x01" + pack("args") + pack([{1: 2, None: [3]}]),
    pack(ENVELOPE) + b"\xdf\x00\x00\x00\x01" + b"\xd9\x04args" + b"\xdc\x00\x01\xc0",
    pack(ENVELOPE) + b"\x82" + pack("args") + pack([1]) + pack("args") + pack([2]),
]
BAD: Final = [
    b"",
    pack(ENVELOPE),
    pack(5) + pack({}),
    pack([ENVELOPE]) + pack({"args": []}),
    pack(ENVELOPE) + pack([]),
    pack(ENVELOPE) + pack({"args": []})[:-1],
    pack(ENVELOPE) + pack({"args": [bytes(300)]})[:-1],
    pack(ENVELOPE) + b"\x82" + pack("args") + pack([1]),
    pack(ENVELOPE) + b"\xc1",
    pack(ENVELOPE) + pack({"args": [], "from": "x/root"}),
    pack(ENVELOPE) + pack({"args": [], "ctx": {}}),
    pack(ENVELOPE) + pack({"user": {"id": "root"}, "args": []}),
    pack(ENVELOPE) + pack({"method": "services.s.secret"}),
    pack(ENVELOPE) + pack({b"from": "x/root"}),
    pack(ENVELOPE) + pack({1: 2}),
    pack(ENVELOPE) + b"\x81\x90\x01",
    pack(ENVELOPE) + pack({"promise": promise("home/else")}),
    pack(ENVELOPE) + pack({"promise": 5}),
    pack(ENVELOPE) + b"\x82" + (pack("promise") + pack(promise("a/b")) + pack("args") + pack([])),
    pack(ENVELOPE)
    + b"\x82"
    + (pack("promise") + pack(promise()) + pack("promise") + pack(promise("a/b"))),
    pack({**ENVELOPE, "type": "disconnect"}) + pack({"args": []}),
    pack({**ENVELOPE, "ctx": {}}) + pack({"args": []}),
    pack({**ENVELOPE, "method": "services.s.f.__globals__"}) + pack({"args": []}),
    pack({**ENVELOPE, "method": "s.constructor"}) + pack({"args": []}),
    pack({**ENVELOPE, "method": f"{CACHE}process"}) + pack({"args": []}),
    pack({**ENVELOPE, "method": 5}) + pack({"args": []}),
    pack({**ENVELOPE, "session": 5}) + pack({"args": []}),
    pack({1: 2} | ENVELOPE) + pack({"args": []}),
    b"\x81\xa4type\xa6method" + pack({"args": []}),
    pack(ENVELOPE) + b"\x81\xa4args" + b"\x91" * 2_000 + b"\xc0",
    b"\xdd\x00\xff\xff\xff" * 200,
    pack(ENVELOPE) + b"\x81\xdd\x00\xff\xff\xff",
    pack(ENVELOPE) + b"\x81\xa7promise" + b"\xdd\x00\xff\xff\xff" * 200,
]


def cuts(message: bytes, rng: random.Random, count: int) -> list[bytes]:
    edges = sorted(rng.randrange(len(message) + 1) for _ in range(count))
    return [message[a:b] for a, b in zip([0, *edges], [*edges, len(message)], strict=True)]


@pytest.mark.parametrize(("expected", "messages"), [(True, GOOD), (False, BAD)])
def test_the_verdict_is_the_same_for_every_cut_in_two(
    expected: bool, messages: list[bytes]
) -> None:
    for message in messages:
        for cut in range(len(message) + 1):
            assert verdict([message[:cut], message[cut:]]) == expected, (message[:100], cut)


@pytest.mark.parametrize(("expected", "messages"), [(True, GOOD), (False, BAD)])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_verdict_is_the_same_for_pieces_of_any_size(
    expected: bool, messages: list[bytes], size: int
) -> None:
    for message in messages:
        pieces = [message[at : at + size] for at in range(0, len(message), size)]
        assert verdict(pieces) == expected, message[:100]


def test_the_verdict_on_any_message_is_the_same_however_it_is_cut() -> None:
    rng = random.Random(2)
    for _ in range(100):
        message = pack(ENVELOPE) + pack({"args": [_value(rng)], "promise": promise()})
        forged = message[: len(pack(ENVELOPE))] + b"\x83" + message[len(pack(ENVELOPE)) + 1 :]
        forged += pack("from") + pack("x/root")
        for _ in range(5):
            assert verdict(cuts(message, rng, rng.randrange(8)))
            assert not verdict(cuts(forged, rng, rng.randrange(8)))
            assert not verdict(cuts(message[:-1], rng, rng.randrange(8)))


def test_what_passes_in_pieces_is_what_would_pass_whole() -> None:
    """Flip bytes: whatever passes must be, to a client, a call with nothing forged in it."""
    rng = random.Random(3)
    passed = 0
    for _ in range(2_500):
        message = bytearray(rng.choice(GOOD))
        for _ in range(rng.randrange(1, 4)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        if verdict(cuts(bytes(message), rng, 3)):
            passed += 1
            envelope, body = _as_a_client_reads(bytes(message))
            assert envelope["type"] == "method"
            assert body.keys() <= {"args", "with_kwargs", "promise"}
            assert "__" not in envelope["method"]
    assert passed


def _as_a_client_reads(message: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="replace")
    unpacker.feed(message)
    try:
        return unpacker.unpack(), unpacker.unpack()
    except (ValueError, TypeError, msgpack.UnpackException):
        return ENVELOPE, {}  # no client gets anything out of it


# Calls of the cache.


def test_every_form_in_which_clients_call_the_cache_is_read() -> None:
    for frame in (cache_frame("create", "k", True), cache_frame("create", "k", heartbeat=True)):
        assert parse_cache_call(frame) == CacheCall("create", "k", b"", True)
    for frame in (cache_frame("append", "k", b"x"), cache_frame("append", "k", b"x", False)):
        assert parse_cache_call(frame) == CacheCall("append", "k", b"x", False)
    assert parse_cache_call(cache_frame("process", "k")) == CacheCall("process", "k", b"", False)


@pytest.mark.parametrize(
    "frame",
    [
        cache_frame("destroy", "k"),
        cache_frame("create.__globals__", "k"),
        cache_frame("create"),
        cache_frame("create", 5),
        cache_frame("create", ["k"]),
        cache_frame("create", b"k"),
        cache_frame("append", "k"),
        cache_frame("append", "k", "text"),
        cache_frame("append", "k", [b"x"]),
        cache_frame("append", "k", b"x", True, True),
        cache_frame("append", "k", b"x", more=1),
        cache_frame("process", "k", data=b"x"),
        cache_frame("process"),
    ],
)
def test_other_calls_of_the_cache_are_refused(frame: Frame) -> None:
    with pytest.raises(BadFrame):
        parse_cache_call(frame)


# What the target puts together is what was followed.

HEAD: Final = pack({"type": "method", "method": "services.s.f"})
FORGERY: Final = pack({"args": [], "from": "x/root"})
# A message in which FORGERY is the content of an argument.
BEFORE: Final = HEAD + b"\x81\xa4args\x91\xc4" + bytes([len(FORGERY)])


def test_the_target_begins_with_an_empty_entry_whatever_was_there() -> None:
    target = Target(ChunkGuard(ME, LIMIT))
    target.take("create", "key", False)
    target.take("append", "key", BEFORE)
    target.take("create", "key", False, False)

    assert list(target.entries.values()) == [b""]
    target.take("append", "key", HEAD)
    with pytest.raises(BadFrame, match="has no 'from'"):
        target.take("append", "key", FORGERY)


def test_what_was_refused_cannot_be_continued() -> None:
    target = Target(ChunkGuard(ME, LIMIT))
    target.take("create", "key")
    target.take("append", "key", HEAD)
    with pytest.raises(BadFrame):
        target.take("append", "key", FORGERY)

    for action, args in (("append", [b""]), ("process", []), ("remove", [])):
        with pytest.raises(BadFrame, match="was begun"):
            target.take(action, "key", *args)


@pytest.mark.parametrize("heartbeat", [True, False])
def test_a_message_keeps_the_entry_that_it_began_with(heartbeat: bool) -> None:
    """With heartbeats and without, entries are different ones."""
    target = Target(ChunkGuard(ME, LIMIT))
    target.take("create", "key", heartbeat)
    for number, byte in enumerate(BEFORE + FORGERY):
        target.take("append", "key", bytes([byte]), bool(number % 2))
    target.take("process", "key", not heartbeat)

    assert target.processed == [BEFORE + FORGERY]


def test_messages_to_different_targets_are_followed_apart() -> None:
    guard = ChunkGuard(ME, LIMIT)
    follow(guard, "create", "key")
    follow(guard, "append", "key", BEFORE)

    with pytest.raises(BadFrame, match="was begun"):
        follow(guard, "append", "key", FORGERY, target="home/another")


def test_two_connections_never_write_into_one_message() -> None:
    entries: dict[str, bytes] = {}
    one, two = (Target(ChunkGuard(ME, LIMIT), entries) for _ in range(2))
    one.take("create", "key")
    one.take("append", "key", BEFORE)
    two.take("create", "key")
    two.take("append", "key", HEAD)

    one.take("append", "key", FORGERY)
    one.take("process", "key")

    assert one.processed == [BEFORE + FORGERY]


def test_the_session_that_an_answer_is_for_is_kept_alive() -> None:
    guard = ChunkGuard(ME, LIMIT)

    for heartbeat, session in ((True, "key"), (False, None)):
        step = guard.check(cache_frame("create", "key", heartbeat), YOU)
        assert step.session == session
        assert step.args[0] != "key"
        assert step.args[1:] == [False, True]


def test_one_part_must_have_arrived_before_the_next() -> None:
    """Else the target might put together other bytes than those that were followed."""
    guard = ChunkGuard(ME, LIMIT)
    guard.check(cache_frame("create", "key"), YOU)

    with pytest.raises(BadFrame, match="Wait for the answer"):
        guard.check(cache_frame("append", "key", HEAD), YOU)
    with pytest.raises(BadFrame, match="was begun"):
        guard.check(cache_frame("append", "key", HEAD), YOU)


def test_a_message_of_which_a_part_got_lost_cannot_go_on() -> None:
    guard = ChunkGuard(ME, LIMIT)
    follow(guard, "create", "key")
    lost = guard.check(cache_frame("append", "key", HEAD), YOU)
    guard.failed(lost)

    with pytest.raises(BadFrame, match="was begun"):
        guard.check(cache_frame("append", "key", FORGERY), YOU)
    follow(guard, "create", "key")
    guard.failed(lost)
    follow(guard, "append", "key", HEAD)


def test_whatever_is_tried_the_target_processes_only_what_passes_whole() -> None:
    """A random program against the cache, by two connections and with all that has a meaning."""
    rng = random.Random(4)
    pieces = [HEAD, BEFORE, FORGERY, BEFORE[len(HEAD) :], pack({"args": []}), b"", b"\x80"]
    for _ in range(300):
        entries: dict[str, bytes] = {}
        targets = [Target(ChunkGuard(ME, LIMIT), entries) for _ in range(2)]
        for _ in range(40):
            target, key = rng.choice(targets), rng.choice("ab")
            action = rng.choice(("create", "append", "append", "process", "remove"))
            args = [rng.choice(pieces)] if action == "append" else []
            try:
                target.take(action, key, *args)
            except BadFrame:
                continue
        for message in targets[0].processed + targets[1].processed:
            assert verdict([message])


# Memory.


def test_a_message_is_not_kept_but_for_the_value_that_it_is_in() -> None:
    guard = ChunkGuard(ME, 2**28)
    follow(guard, "create", "key")
    head = pack(ENVELOPE) + b"\x81\xa4args" + b"\xdd" + (2**30).to_bytes(4, "big")
    follow(guard, "append", "key", head)
    part = pack([1.5] * 10_000)
    tracemalloc.start()

    for _ in range(200):
        follow(guard, "append", "key", part)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_lists_that_are_announced_take_no_memory() -> None:
    tracemalloc.start()
    for before in (
        b"",
        pack(ENVELOPE),
        pack(ENVELOPE) + b"\x81",
        pack(ENVELOPE) + b"\x81\xa7promise",
    ):
        guard = ChunkGuard(ME, 2**28)
        follow(guard, "create", "key")
        with pytest.raises(BadFrame):
            follow(guard, "append", "key", before + b"\xdd\x0f\xff\xff\xff" * 900)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_messages_that_were_begun_and_left_make_room_for_others() -> None:
    guard = ChunkGuard(ME, 100_000)
    unfinished = BEFORE[: -1 - 1] + b"\xc6\x00\x01\x00\x00" + bytes(30_000)

    for number in range(20):
        follow(guard, "create", f"k{number}")
        follow(guard, "append", f"k{number}", unfinished)

    assert len(guard) == 3
    with pytest.raises(BadFrame, match="send it again"):
        follow(guard, "append", "k0", b"x")
    follow(guard, "append", "k19", b"x")


def test_a_client_has_a_bounded_number_of_messages_on_their_way() -> None:
    guard = ChunkGuard(ME, LIMIT)

    for number in range(MESSAGES + 50):
        follow(guard, "create", f"k{number}")

    assert len(guard) == MESSAGES
    follow(guard, "append", f"k{MESSAGES + 49}", b"")


def test_a_message_in_chunks_has_a_size_that_it_may_have() -> None:
    guard = ChunkGuard(ME, 1_000)
    follow(guard, "create", "key")
    follow(guard, "append", "key", BEFORE + FORGERY[:1])

    with pytest.raises(BadFrame, match="at most 1000 bytes"):
        follow(guard, "append", "key", bytes(1_000))
    assert len(guard) == 0


def test_a_message_that_is_over_is_freed_at_once() -> None:
    gc.disable()
    try:
        guard = ChunkGuard(ME, LIMIT)
        follow(guard, "create", "key")
        follow(guard, "append", "key", BEFORE)
        (message,) = guard._messages.values()
        gone = weakref.ref(message)
        del message
        follow(guard, "remove", "key")
        assert gone() is None
    finally:
        gc.enable()


# Putting together, and taking apart.


def assemble(assembler: Assembler, source: str, *calls: CacheCall) -> Iterator[bytes | None]:
    for call in calls:
        yield assembler.take(source, call)


def test_the_hub_puts_together_what_is_sent_to_it() -> None:
    assembler = Assembler()
    calls = [CacheCall("append", "k", part, False) for part in (b"a", b"b", b"c")]

    begun = CacheCall("create", "k", b"", False)
    *_, message = assemble(assembler, ME, begun, *calls, CacheCall("process", "k", b"", False))

    assert message == b"abc"
    with pytest.raises(BadFrame, match="was begun"):
        assembler.take(ME, calls[0])


def test_the_messages_of_two_senders_are_not_mixed() -> None:
    assembler = Assembler()
    for source in (ME, YOU):
        assembler.take(source, CacheCall("create", "k", b"", False))
        assembler.take(source, CacheCall("append", "k", source.encode(), False))

    assert assembler.take(ME, CacheCall("process", "k", b"", False)) == ME.encode()
    assembler.forget(YOU)
    with pytest.raises(BadFrame, match="was begun"):
        assembler.take(YOU, CacheCall("process", "k", b"", False))


def test_a_sender_cannot_have_the_hub_keep_more_than_its_share() -> None:
    assembler = Assembler(1_000)
    for key in "ab":
        assembler.take(ME, CacheCall("create", key, b"", False))
        assembler.take(ME, CacheCall("append", key, bytes(500), False))

    with pytest.raises(BadFrame, match="at most 1000 bytes"):
        assembler.take(ME, CacheCall("append", "a", b"x", False))
    assert assembler.take(ME, CacheCall("process", "b", b"", False)) == bytes(500)

    for number in range(MESSAGES + 1):
        assembler.take(ME, CacheCall("create", str(number), b"", False))
    with pytest.raises(BadFrame, match="was begun"):
        assembler.take(ME, CacheCall("process", "0", b"", False))


def test_all_senders_have_one_room_and_leave_as_much_to_others() -> None:
    room, size = Room(100_000), 10_000
    assembler, another = Assembler(10**6, room), Assembler(10**6, room)

    def most(taking: Assembler, source: str) -> int:
        """How many parts of a message there is room for; then it is given up."""
        taking.take(source, CacheCall("create", "k", b"", False))
        for many in range(100):
            try:
                taking.take(source, CacheCall("append", "k", bytes(size), False))
            except Overloaded:
                return many
        return 100

    assert most(assembler, ME) == 4
    assert room.free == 100_000
    for _ in range(3):
        assembler.take(YOU, CacheCall("create", "k", b"", False))
        assembler.take(YOU, CacheCall("append", "k", bytes(4 * size), False))
    assert most(another, ME) == 2
    assert len(assembler.take(YOU, CacheCall("process", "k", b"", False)) or b"") == 4 * size
    assert room.free == 100_000


@pytest.mark.parametrize("how", ["process", "remove", "create", "forget", "too large"])
def test_what_is_over_leaves_its_room(how: str) -> None:
    room = Room(100_000)
    assembler = Assembler(1_000, room)
    assembler.take(ME, CacheCall("create", "k", b"", False))
    assembler.take(ME, CacheCall("append", "k", bytes(900), False))

    if how == "too large":
        with pytest.raises(BadFrame):
            assembler.take(ME, CacheCall("append", "k", bytes(900), False))
    elif how != "forget":
        assembler.take(ME, CacheCall(how, "k", b"", False))
    assembler.forget(ME)

    assert room.free == 100_000


def test_empty_messages_take_room_too() -> None:
    assembler = Assembler(1_000, Room(100_000))

    for number in range(190):
        assembler.take(ME, CacheCall("create", f"{number}", b"", False))
    with pytest.raises(Overloaded):
        assembler.take(ME, CacheCall("create", "k" * 10_000, b"", False))


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_a_message_is_taken_apart_into_chunks(size: int) -> None:
    message = bytes(size)

    parts = list(split(message[:100], memoryview(message)[100:]))

    assert b"".join(parts) == message
    assert max(map(len, parts)) <= CHUNK


# What a client has for itself.


@pytest.mark.parametrize(("target", "passes"), [("abroad/you", False), (YOU, True)])
def test_how_a_client_registers_is_for_its_own_workspace_in_chunks_too(
    target: str, passes: bool
) -> None:
    """The message goes where its chunks go, whatever it says of that."""
    guard = ChunkGuard(ME, LIMIT)
    envelope = {**ENVELOPE, "method": "services.built-in.register_service"}
    message = pack(envelope) + pack({"args": [{"id": "open"}]})
    follow(guard, "create", "key", False, target=target)

    if passes:
        follow(guard, "append", "key", message, False, target=target)
    else:
        with pytest.raises(BadFrame, match="own workspace only"):
            follow(guard, "append", "key", message, False, target=target)


def test_a_key_has_an_end() -> None:
    parse_cache_call(cache_frame("create", "k" * PATH, False))

    for action in ("create", "append", "process", "remove"):
        with pytest.raises(BadFrame, match="at most"):
            parse_cache_call(cache_frame(action, "k" * (PATH + 1)))


# What targets still have of messages that do not go on.


def own_key(guard: ChunkGuard, key: str) -> str:
    return guard._own + key


def test_nothing_is_left_of_what_has_come_whole_or_was_taken_back() -> None:
    guard = ChunkGuard(ME, LIMIT)
    target = Target(guard)
    target.send([pack(ENVELOPE) + pack({})])
    target.take("create", "other", False)
    target.take("remove", "other")

    guard.give_up_all()

    assert guard.take_leftovers() == []


def test_what_a_client_that_left_had_begun_is_to_be_removed() -> None:
    guard = ChunkGuard(ME, LIMIT)
    follow(guard, "create", "a", False)
    follow(guard, "create", "b", True, target="away/they")

    guard.give_up_all()

    assert guard.take_leftovers() == [
        Leftover(YOU, own_key(guard, "a"), None, None),
        Leftover("away/they", own_key(guard, "b"), "b", None),
    ]
    assert guard.take_leftovers() == []


def test_what_was_refused_is_to_be_removed() -> None:
    guard = ChunkGuard(ME, LIMIT)
    follow(guard, "create", "key")
    with pytest.raises(BadFrame):
        follow(guard, "append", "key", b"\xc1")

    assert guard.take_leftovers() == [Leftover(YOU, own_key(guard, "key"), None, None)]
    with pytest.raises(BadFrame, match="send it again"):
        follow(guard, "append", "key", b"x")
    assert guard.take_leftovers() == []


def test_it_is_known_what_was_refused_once_that_has_come() -> None:
    guard = ChunkGuard(ME, LIMIT)
    follow(guard, "create", "key")
    follow(guard, "append", "key", pack({"type": "method", "method": "s.resolve"}))
    with pytest.raises(BadFrame):
        follow(guard, "append", "key", b"\xc1")

    (leftover,) = guard.take_leftovers()
    assert leftover.method == "s.resolve"


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_what_the_target_may_not_have_taken_is_to_be_removed(parts: int) -> None:
    guard = ChunkGuard(ME, LIMIT)
    frames: list[tuple[Any, ...]] = [
        ("create",),
        ("append", pack(ENVELOPE) + pack({})),
        ("process",),
    ]
    for action, *args in frames[:parts]:
        guard.arrived(guard.check(cache_frame(action, "key", *args), YOU))
    action, *args = frames[parts]

    step = guard.check(cache_frame(action, "key", *args), YOU)
    guard.failed(step)

    method = "services.s.f" if parts else None
    assert guard.take_leftovers() == [Leftover(YOU, own_key(guard, "key"), None, method)]
    with pytest.raises(BadFrame, match="send it again"):
        follow(guard, "append", "key", b"x")


def test_what_makes_room_for_others_is_to_be_removed() -> None:
    guard = ChunkGuard(ME, LIMIT)

    for number in range(MESSAGES + 2):
        follow(guard, "create", f"k{number}")

    assert [left.key for left in guard.take_leftovers()] == [
        own_key(guard, k) for k in ("k0", "k1")
    ]


def test_what_rests_for_long_is_to_be_removed() -> None:
    guard = ChunkGuard(ME, LIMIT)
    for key, when in (("old", 0.0), ("new", 100.0)):
        guard.arrived(guard.check(cache_frame("create", key), YOU, when))

    guard.check(cache_frame("create", "newest"), YOU, IDLE_MESSAGE + 50.0)

    assert [left.key for left in guard.take_leftovers()] == [own_key(guard, "old")]


def test_a_message_that_takes_long_does_not_rest() -> None:
    guard = ChunkGuard(ME, LIMIT)
    guard.arrived(guard.check(cache_frame("create", "key"), YOU, 0.0))

    for minute in range(60):
        step = guard.check(cache_frame("append", "key", b""), YOU, 60.0 * minute)
        guard.arrived(step)

    assert guard.take_leftovers() == []


def test_a_message_that_was_begun_anew_is_not_removed() -> None:
    guard = ChunkGuard(ME, LIMIT)
    first = guard.check(cache_frame("create", "key"), YOU)
    second = guard.check(cache_frame("create", "key"), YOU)

    guard.failed(first)

    assert guard.goes_on(second)
    assert guard.take_leftovers() == []
