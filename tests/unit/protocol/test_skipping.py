"""Values that are skipped as they come: any value, cut anywhere, with next to nothing kept."""

import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.limits import LEVELS
from hypha_cluster.protocol.skipping import Skipping

SIZES = (0, 3, 31, 32, 255, 256, 5_000, 70_000)


def some_value(chance: random.Random, depth: int = 0) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: chance.choice((None, True, 0, 5, 300, -1, -40_000, 2**40, 1.5)),
        lambda: "x" * chance.choice(SIZES),
        lambda: bytes(chance.choice(SIZES)),
        lambda: msgpack.ExtType(5, bytes(chance.choice((1, 2, 4, 8, 16, 3, 300, 70_000)))),
        lambda: [chance.choice((1, 200, None))] * chance.choice((0, 100, 6_000)),
    ]
    if depth < 4:
        makers += [
            lambda: [some_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 15, 16)))],
            lambda: {str(n): some_value(chance, depth + 1) for n in range(chance.choice((1, 16)))},
        ] * 3
    return chance.choice(makers)()


def skip(message: bytes, chance: random.Random, sizes: tuple[int, ...]) -> bytes:
    """What is left behind the first value of a message that comes in parts."""
    skipping, at, rest = Skipping(), 0, None
    while rest is None:
        size = chance.choice(sizes)
        rest = skipping.feed(message[at : at + size])
        at += size
        assert rest is not None or at < len(message) + size
    return rest + message[at:]


@pytest.mark.parametrize("sizes", [(1, 2, 3, 1_000), (100, 4_096, 5_000), (100_000, 512_000)])
@pytest.mark.parametrize("seed", range(20))
def test_a_value_is_skipped_and_no_byte_more(seed: int, sizes: tuple[int, ...]) -> None:
    chance = random.Random(seed)
    message: bytes = msgpack.packb(some_value(chance)) + b"what follows"

    assert skip(message, chance, sizes) == b"what follows"


LONG = {
    "an array": b"\xc6" + (50_000_000).to_bytes(4),
    "a text": b"\xdb" + (50_000_000).to_bytes(4),
    "an extension": b"\xc9" + (50_000_000).to_bytes(4) + b"\x05",
    "an array in a map in a list": b"\x92\x01\x81\xa1a\xc6" + (50_000_000).to_bytes(4),
    "a list of arrays": b"\xdd" + (1_000).to_bytes(4) + b"\xc6" + (50_000_000).to_bytes(4),
    "a list of numbers": b"\xdd" + (50_000_000).to_bytes(4),
    "a map": b"\xdf" + (50_000_000).to_bytes(4),
}


@pytest.mark.parametrize("name", LONG)
def test_next_to_nothing_is_kept_of_a_long_one(name: str) -> None:
    skipping, part = Skipping(), bytes(500_000)
    assert skipping.feed(LONG[name]) is None
    tracemalloc.start()

    for _ in range(99):
        assert skipping.feed(part) is None
        now, _ = tracemalloc.get_traced_memory()
        assert now < 20_000

    tracemalloc.stop()


def test_what_is_announced_and_does_not_come_takes_no_memory() -> None:
    tracemalloc.start()
    for _ in range(100):
        assert Skipping().feed(b"\xdd\xff\xff\xff\xff" * 100) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000


def test_it_has_so_many_levels_and_no_more() -> None:
    level = b"\xdc\xff\xff" + bytes(5_000)

    assert Skipping().feed(level * (LEVELS - 1)) is None
    with pytest.raises(BadFrame, match="512 levels"):
        Skipping().feed(level * (LEVELS + 1))


@pytest.mark.parametrize("before", [b"", b"\xdc\xff\xff" + bytes(10_000)])
def test_what_is_no_msgpack_is_noticed(before: bytes) -> None:
    with pytest.raises(msgpack.FormatError):
        Skipping().feed(before + b"\xc1" + bytes(10_000))
