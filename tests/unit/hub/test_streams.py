"""A stream is asked for one item after the other, and closed by whoever leaves it."""

import asyncio
import contextlib
from typing import Any

import pytest

from hypha_cluster.errors import RemoteError
from hypha_cluster.hub.streams import follow, is_stream
from hypha_cluster.protocol import rpc

NEXT, READ, CLOSE = (rpc.reference("ws/c", f"s.{name}") for name in ("next", "read", "close"))
GENERATOR = {"_rtype": "generator", "next": NEXT, "close": CLOSE}
FILE = {"_rtype": "iostream", "read": READ, "close": CLOSE}


class Client:
    """Answers what it was given, one after the other; the last for ever after an event."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, list[Any]]] = []
        self.told: list[str] = []
        self.is_asked, self.is_told = asyncio.Event(), asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def call(self, function: dict[str, Any], args: list[Any]) -> Any:
        self.asked.append((function["_rmethod"], args))
        self.is_asked.set()
        await self.may_answer.wait()
        return self._answers.pop(0)

    def tell(self, function: dict[str, Any]) -> None:
        self.told.append(function["_rmethod"])
        self.is_told.set()


async def items(stream: dict[str, Any], client: Client) -> list[Any]:
    found = [item async for item in follow(stream, client.call, client.tell)]
    await asyncio.sleep(0)
    return found


async def test_a_generator_says_when_it_is_done() -> None:
    client = Client({"value": 1}, {"value": None}, {"done": True})

    assert await items(GENERATOR, client) == [1, None]
    assert client.asked == [("s.next", [])] * 3
    assert client.told == ["s.close"]


async def test_a_file_ends_with_an_empty_piece() -> None:
    client = Client(b"ab", b"c", b"")

    assert await items(FILE, client) == [b"ab", b"c"]
    assert client.asked[0] == ("s.read", [262_144])


async def test_a_stream_need_not_be_closed() -> None:
    client = Client({"done": True})

    assert await items({"_rtype": "generator", "next": NEXT}, client) == []
    assert client.told == []


@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        (GENERATOR, 5),
        (FILE, 5),
        ({"_rtype": "generator"}, None),
        ({"_rtype": "iostream", "read": "x"}, None),
    ],
)
async def test_what_is_no_stream_is_its_clients_failure(stream: Any, answer: Any) -> None:
    with pytest.raises(RemoteError):
        await items(stream, Client(answer))


async def test_whoever_leaves_closes_it_when_the_client_has_answered() -> None:
    client = Client({"value": 1}, {"value": 2})
    async with contextlib.aclosing(follow(GENERATOR, client.call, client.tell)) as stream:
        await anext(stream)
        client.may_answer.clear()
        client.is_asked.clear()
        waiting = asyncio.ensure_future(anext(stream))
        await client.is_asked.wait()
        waiting.cancel()
        await asyncio.wait([waiting])

    assert client.told == []
    client.may_answer.set()
    await client.is_told.wait()
    assert client.told == ["s.close"]


def test_other_values_are_no_streams() -> None:
    assert is_stream(GENERATOR)
    assert is_stream(FILE)
    assert not any(map(is_stream, ({}, [], {"_rtype": "ndarray"}, None, "generator")))
