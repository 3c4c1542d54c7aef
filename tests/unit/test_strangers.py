"""What a stranger makes the hub keep and do, for each byte sent: frames, chunks and arguments.

Routes and functions of the hub are in tests/integration/test_strangers.py. Memory is counted; work
is compared with that of ordinary calls in the same run, so that neither depends on the machine.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl

import msgpack
import pytest

from hypha_cluster.errors import HubError
from hypha_cluster.identity.names import check_client_id, check_service_id, check_workspace_name
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.chunks import ChunkGuard
from hypha_cluster.protocol.envelope import FrameReader, pack
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.protocol.limits import ADDRESS, CLIENT_FRAME, PATH
from hypha_cluster.relay.connection import Connection
from hypha_cluster.web import arguments
from tests.unit.relay.test_intake import Rig, call

KEPT: Final = 20.0  # bytes that stay for each that was sent; an ordinary call that waits has 5
TAKEN: Final = 80.0  # bytes that are in use meanwhile; small values have 60
WORK: Final = 20.0  # times the work of ordinary calls, for each byte
HTTP_WORK: Final = 60.0  # the same for requests, which take more anyway


def args(packed: bytes, number: int) -> bytes:
    """A call whose arguments are many of the same value."""
    envelope = pack({"type": "method", "to": "you", "method": "services.tool.run"})
    return envelope + b"\x81\xa4args\xdd" + number.to_bytes(4) + packed * number


def filled(packed: bytes) -> bytes:
    return args(packed, (CLIENT_FRAME - 200) // len(packed))


def waiting(number: int, size: int) -> bytes:
    """A call that nobody answers, with names of a given length."""
    session = f"{number:08}".ljust(size, "s")
    return call(f"nobody-{number}".ljust(ADDRESS - 10, "x")[: max(size, 12)], session)


def begun(number: int, size: int) -> bytes:
    """The beginning of a message in chunks."""
    key = f"{number:08}".ljust(size, "k")
    envelope = {"type": "method", "to": "you", "method": f"{CACHE}create"}
    return pack(envelope) + pack({"args": [key, False]})


def chunk(data: bytes, key: str = "key") -> bytes:
    envelope = {"type": "method", "to": "you", "method": f"{CACHE}append"}
    return pack(envelope) + pack({"args": [key, data, False]})


HEAD: Final = pack({"type": "method", "method": "services.tool.run"}) + b"\x81\xa4args"


def function(target: str) -> dict[str, Any]:
    return {"_rtype": "method", "_rtarget": target, "_rmethod": "services.s.f"}


FRAMES: Final[dict[str, Callable[[], list[bytes]]]] = {
    "empty lists": lambda: [filled(b"\x90")] * 3,
    "empty maps": lambda: [filled(b"\x80")] * 3,
    "lists in lists": lambda: [filled(b"\x91\x90")] * 3,
    "small maps": lambda: [filled(b"\x81\xa1a\xc0")] * 3,
    "small numbers": lambda: [filled(b"\x01")] * 3,
    "numbers and the key that is refused": lambda: [filled(b"\x01") + pack("__proto__")] * 3,
    "texts like the key that is refused": lambda: [filled(pack("__proto__"))] * 3,
    "texts like the key of a function": lambda: [filled(pack("_rtarget"))] * 3,
    "functions of the sender": lambda: [filled(pack(function("me")))] * 3,
    "functions of a colleague": lambda: [filled(pack(function("other")))] * 3,
    "functions of others": lambda: [filled(pack(function("bob/other")))] * 3,
    "depth": lambda: [args(b"\x91" * 900_000 + b"\xc0", 1)] * 3,
    "lists that are announced": lambda: [args(b"\xdd\x00\xff\xff\xff" * 180_000, 1)] * 3,
    "a long address": lambda: [call("y" * 900_000)] * 5,
    "a long session": lambda: [call("you", "s" * 450_000)] * 5,
    "a long path": lambda: [call("you", method="services." + "x" * 900_000)] * 5,
    "calls that wait": lambda: [waiting(n, 22) for n in range(5_000)],
    "calls that wait, by long names": lambda: [waiting(n, PATH - 20) for n in range(2_000)],
    "messages that are begun": lambda: [begun(n, 22) for n in range(5_000)],
    "messages of which a byte has come": lambda: [
        frame
        for n in range(3_000)
        for frame in (begun(n, 22), chunk(HEAD[:1], f"{n:08}".ljust(22, "k")))
    ],
    "messages that are begun, by long names": lambda: [begun(n, PATH) for n in range(2_000)],
    "text": lambda: [b"hello " * 100_000] * 3,
}


CHUNKS: Final[dict[str, bytes]] = {
    "an array": b"\xc6\x0f\xff\xff\xff" + bytes(4_000_000),
    "small numbers": b"\xdd\x0f\xff\xff\xff" + b"\x01" * 4_000_000,
    "two bytes each": b"\xdd\x0f\xff\xff\xff" + b"\xcc\xff" * 1_000_000,
    "lists in lists": b"\xdd\x0f\xff\xff\xff" + b"\x91\x90" * 1_000_000,
    "lists that are announced": b"\xdd\x0f\xff\xff\xff" * 400_000,
    "texts like the key of a function": b"\xdd\x0f\xff\xff\xff" + pack("_rtarget") * 200_000,
    "functions of the sender": b"\xdd\x0f\xff\xff\xff" + pack(function("me")) * 40_000,
}


@pytest.fixture
async def rig() -> Rig:
    return Rig()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")


class Counted:
    """Bytes that were in use while a block ran, and those that stay."""

    kept = taken = 0

    def __enter__(self) -> "Counted":
        gc.collect()
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        gc.collect()
        self.kept, self.taken = tracemalloc.get_traced_memory()
        tracemalloc.stop()


def work_per_byte(do: Callable[[], object], size: int) -> float:
    """The least CPU time of some attempts."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        do()
        best = min(best, time.process_time() - start)
    return best / size


def route(rig: Rig, sender: Connection, frames: list[bytes]) -> None:
    for frame in frames:
        rig.intake.route(sender, frame)


async def ordinary_work() -> float:
    """What ordinary calls and their answers cost, for each byte."""
    rig = Rig()
    me, _ = await rig.live("me"), await rig.live("you")
    frames = [call("you", f"session-{number:016}") for number in range(2_000)]
    return work_per_byte(lambda: route(rig, me, frames), sum(map(len, frames)))


@pytest.mark.parametrize("name", FRAMES)
async def test_a_frame_leaves_no_more_than_its_sender_has_sent(rig: Rig, name: str) -> None:
    me = await rig.live("me")
    await rig.live("you")
    frames = FRAMES[name]()
    size = sum(map(len, frames))

    with Counted() as counted:
        route(rig, me, frames)
        await rig.bus.settled()
        for live in rig.connections:
            live.socket.sent.clear()  # type: ignore[attr-defined]  # it has gone out

    assert counted.kept < KEPT * size
    assert counted.taken < TAKEN * size


@pytest.mark.parametrize("name", FRAMES)
async def test_a_frame_takes_no_more_work_than_ordinary_ones_of_its_size(
    rig: Rig, name: str
) -> None:
    me = await rig.live("me")
    await rig.live("you")
    frames = FRAMES[name]()

    work = work_per_byte(lambda: route(rig, me, frames), sum(map(len, frames)))

    assert work < WORK * await ordinary_work()


def guarded() -> tuple[ChunkGuard, FrameReader]:
    """A guard that follows a message which has just been begun."""
    guard, reader = ChunkGuard("ann/me", 2**28), FrameReader(CLIENT_FRAME)
    create = pack({"type": "method", "to": "you", "method": f"{CACHE}create"})
    guard.arrived(guard.check(reader.read(create + pack({"args": ["key", False]})), "ann/you"))
    return guard, reader


@pytest.mark.parametrize("name", CHUNKS)
async def test_a_message_in_chunks_leaves_next_to_nothing(name: str) -> None:
    guard, reader = guarded()
    data = HEAD + CHUNKS[name]
    frames = [chunk(data[start : start + 500_000]) for start in range(0, len(data), 500_000)]

    with Counted() as counted, suppress(HubError):
        for frame in frames:
            guard.arrived(guard.check(reader.read(frame), "ann/you"))

    assert counted.kept < 100_000
    assert counted.taken < 4 * 500_000


@pytest.mark.parametrize("name", CHUNKS)
async def test_a_message_in_chunks_takes_no_more_work_than_ordinary_frames(name: str) -> None:
    data = HEAD + CHUNKS[name]
    frames = [chunk(data[start : start + 500_000]) for start in range(0, len(data), 500_000)]

    def send() -> None:
        guard, reader = guarded()
        with suppress(HubError):
            for frame in frames:
                guard.arrived(guard.check(reader.read(frame), "ann/you"))

    assert work_per_byte(send, len(data)) < WORK * await ordinary_work()


# HTTP.

JSON, MSGPACK = "application/json", "application/msgpack"
BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "empty lists": (b'{"a": [' + b"[]," * 300_000 + b"0]}", JSON),
    "empty maps": (b'{"a": [' + b"{}," * 300_000 + b"0]}", JSON),
    "digits": (b'{"a": [' + b"1," * 400_000 + b"1]}", JSON),
    "one number": (b'{"a": ' + b"9" * 900_000 + b"}", JSON),
    "depth": (b'{"a": ' + b"[" * 900_000, JSON),
    "packed lists": (b"\x81\xa1a\xdd" + (900_000).to_bytes(4) + b"\x90" * 900_000, MSGPACK),
    "packed maps": (b"\x81\xa1a\xdd" + (900_000).to_bytes(4) + b"\x80" * 900_000, MSGPACK),
    "packed depth": (b"\x81\xa1a" + b"\x91" * 900_000, MSGPACK),
    "what is announced": (b"\x81\xa1a" + b"\xdd\x0f\xff\xff\xff" * 100_000, MSGPACK),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_read_in_proportion_to_its_size(name: str) -> None:
    body, kind = BODIES[name]

    def read() -> None:
        with suppress(HubError):
            arguments.from_body(body, kind)

    with Counted() as counted:
        read()

    assert counted.kept < 100_000
    assert counted.taken < TAKEN * len(body)
    assert work_per_byte(read, len(body)) < HTTP_WORK * await ordinary_work()


QUERIES: Final = {
    "digits": "a=" + "9" * 60_000,
    "maps": "a=" + '{"a":' * 12_000,
    "lists": "a={" + '"a":[],' * 8_000 + '"b":1}',
    "many parameters": "&".join(f"a{n}={n}" for n in range(6_000)),
    "a name": "client_id=" + "x" * 60_000,
}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_is_read_in_proportion_to_its_size(name: str) -> None:
    query = QUERIES[name]

    def read() -> None:
        with suppress(HubError):
            arguments.from_query(parse_qsl(query))

    with Counted() as counted:
        read()

    assert counted.kept < 100_000
    assert counted.taken < TAKEN * len(query)
    assert work_per_byte(read, len(query)) < HTTP_WORK * await ordinary_work()


@pytest.mark.parametrize("check", [check_client_id, check_workspace_name, check_service_id])
def test_a_name_of_an_admission_is_refused_without_being_repeated(
    check: Callable[[str], None],
) -> None:
    with pytest.raises(HubError) as refused:
        check("x" * 60_000)

    assert len(str(refused.value)) < 400


# What all that is measured by.


def test_the_rig_counts_what_is_kept() -> None:
    with Counted() as counted:
        kept = [msgpack.packb(rpc.error("x" * 1_000)) for _ in range(100)]

    assert counted.kept > 100_000
    assert len(kept) == 100
