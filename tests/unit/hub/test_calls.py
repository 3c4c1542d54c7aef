"""What a call passes, and how a caller that waits is kept from giving up."""

import asyncio
import tracemalloc
import weakref
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, ClientLeft
from hypha_cluster.hub.calls import (
    Heartbeat,
    PlacedCall,
    arguments_of,
    check_arguments,
    memory_of,
)
from hypha_cluster.protocol.envelope import Frame, FrameReader
from tests.raw_client import frame

LIMIT = 5.0


@pytest.mark.parametrize(
    ("body", "args", "kwargs"),
    [
        ({}, [], {}),
        ({"args": [1, {"a": 2}]}, [1, {"a": 2}], {}),
        ({"args": [1, {"a": 2}], "with_kwargs": True}, [1], {"a": 2}),
        ({"args": [1], "with_kwargs": True}, [1], {}),
        ({"args": [], "with_kwargs": True}, [], {}),
        ({"args": None}, [], {}),
    ],
)
def test_arguments_come_by_position_and_by_keyword(
    body: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    assert arguments_of(Frame({}, body, b"", b"")) == (args, kwargs)


def test_reading_arguments_leaves_the_frame_as_it_is() -> None:
    body = {"args": [1, {"a": 2}], "with_kwargs": True}

    arguments_of(Frame({}, body, b"", b""))

    assert body["args"] == [1, {"a": 2}]


@pytest.mark.parametrize(
    "value",
    [
        *("", "x" * 500_000, b"x" * 500_000, [], {}),
        *([[] for _ in range(many)] for many in (100, 190_000)),
        [{} for _ in range(190_000)],
        [{"": 1} for _ in range(6_000)],
        [{"a": [1.5]} for _ in range(50_000)],
        [f"{number:x}" for number in range(9_000)],
        [number + 0.5 for number in range(100_000)],
        list(range(1_000, 60_000)),
    ],
    ids=lambda value: f"{type(value).__name__} of {len(value)} {str(value)[1:6]}",
)
def test_a_call_takes_no_more_than_the_hub_takes_it_for(value: Any) -> None:
    raw = frame(
        {"type": "method", "to": "a/b", "method": "services.default.echo"}, {"args": [value]}
    )
    reader = FrameReader(1_000_000)
    reader.read(raw)
    tracemalloc.start()
    try:
        read = reader.read(bytes(bytearray(raw)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept <= memory_of(read) + 2_000  # of the envelope


def function(first: int, second: int = 0, *, third: int = 0) -> None:
    """Take something."""


@pytest.mark.parametrize(("args", "names"), [([1], []), ([1, 2], ["third"]), ([], ["first"])])
def test_arguments_that_fit_pass(args: list[Any], names: list[str]) -> None:
    check_arguments(function, "f", args, names)


class Owner:
    def method(self, first: int, *, third: int = 0) -> None:
        """Take something."""


@pytest.mark.parametrize(
    ("args", "names", "fits"),
    [([1], [], True), ([], ["first", "third"], True), ([], [], False), ([1, 2], [], False)]
    + [([1], ["self"], False)],
)
def test_a_method_takes_what_stands_behind_its_object(
    args: list[Any], names: list[str], fits: bool
) -> None:
    if fits:
        check_arguments(Owner().method, "m", args, names)
    else:
        with pytest.raises(BadRequest, match="^m: "):
            check_arguments(Owner().method, "m", args, names)


def test_nobody_is_kept_because_a_method_was_looked_at() -> None:
    owner = Owner()
    gone = weakref.ref(owner)
    check_arguments(owner.method, "m", [1], [])

    del owner

    assert gone() is None


@pytest.mark.parametrize(
    ("args", "names"),
    [([], []), ([1, 2, 3], []), ([1], ["first"]), ([1], ["fourth"]), ([1], ["x" * 10_000])],
)
def test_arguments_that_do_not_fit_are_the_callers_mistake(
    args: list[Any], names: list[str]
) -> None:
    with pytest.raises(BadRequest, match="^f: "):
        check_arguments(function, "f", args, names)


async def test_a_call_fails_once() -> None:
    placed = PlacedCall("home/c", "services.s.f", LIMIT)

    placed.fail(ClientLeft("first"))
    placed.fail(ClientLeft("second"))

    with pytest.raises(ClientLeft, match="first"):
        await placed.answer
    placed.stop()


async def test_a_heart_beats_until_it_is_stopped() -> None:
    beats: asyncio.Queue[None] = asyncio.Queue()
    heartbeat = Heartbeat(0.01, lambda: beats.put_nowait(None))

    async with asyncio.timeout(LIMIT):
        for _ in range(3):
            await beats.get()
    heartbeat.stop()
    many = beats.qsize()
    await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.05))])

    assert beats.qsize() == many
