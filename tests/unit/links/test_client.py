"""The client sends at once, reads replies, and fails in one way only."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient, Reply, script_hash, settled
from hypha_cluster.links.commands import Commands
from hypha_cluster.metrics import RedisMeter

SCRIPTS = {"claim": b"return 1", "leave": b"return 2"}


class FakeServers:
    is_cluster = False

    def slot(self, key: str) -> int:
        return len(key)

    def some_slots(self) -> list[int]:
        return [3, 9]


class FakeCommands:
    """Keeps what is sent, and answers in order what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.servers = FakeServers()
        self.meter = RedisMeter()
        self.sent: list[tuple[int, tuple[Any, ...]]] = []
        self._answers = list(answers)

    def ask(self, slot: int, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        self.sent.append((slot, command))
        answer = asyncio.get_running_loop().create_future()
        if self._answers:
            answer.set_result(self._answers.pop(0))
        return answer


def client_of(commands: FakeCommands) -> RedisClient:
    return RedisClient(cast(Commands, commands), SCRIPTS)


Ask = Callable[[RedisClient], Reply[Any]]


@pytest.mark.parametrize(
    ("ask", "words", "answer", "read"),
    [
        (lambda redis: redis.get("k"), ("GET", "k"), b"v", b"v"),
        (lambda redis: redis.get("k"), ("GET", "k"), None, None),
        (lambda redis: redis.set_if_new("k", "v"), ("SET", "k", "v", "NX"), None, False),
        (lambda redis: redis.set_if_new("k", "v"), ("SET", "k", "v", "NX"), b"OK", True),
        (lambda redis: redis.exists("k"), ("EXISTS", "k"), 1, True),
        (lambda redis: redis.delete("k", "l"), ("DEL", "k", "l"), 2, 2),
        (lambda redis: redis.hget("k", "f"), ("HGET", "k", "f"), b"v", b"v"),
        (lambda redis: redis.hgetall("k"), ("HGETALL", "k"), [b"f", b"v"], {b"f": b"v"}),
        (lambda redis: redis.hkeys("k"), ("HKEYS", "k"), [b"f"], [b"f"]),
        (lambda redis: redis.hset("k", {"f": "v", "g": "w"}), ("HSET", "k", *"fvgw"), 2, 2),
        (lambda redis: redis.smembers("k"), ("SMEMBERS", "k"), [b"m"], [b"m"]),
        (lambda redis: redis.srandmember("k", 2), ("SRANDMEMBER", "k", 2), [b"m"], [b"m"]),
        (lambda redis: redis.scard("k"), ("SCARD", "k"), 1, 1),
        (lambda redis: redis.sadd("k", "m", b"n"), ("SADD", "k", "m", b"n"), 2, 2),
        (lambda redis: redis.srem("k", "m"), ("SREM", "k", "m"), 0, 0),
        (lambda redis: redis.zadd("k", {"m": 1, "n": 2}), ("ZADD", "k", 1, "m", 2, "n"), 2, 2),
        (lambda redis: redis.zrem("k", "m"), ("ZREM", "k", "m"), 1, 1),
    ],
)
async def test_a_command_goes_to_the_slot_of_its_key_and_its_reply_is_read(
    ask: Ask, words: tuple[Any, ...], answer: Any, read: Any
) -> None:
    commands = FakeCommands(answer)

    assert await ask(client_of(commands)) == read
    assert commands.sent == [(len("k"), words)]


async def test_commands_are_sent_before_they_are_awaited() -> None:
    commands = FakeCommands(b"1", b"2")
    redis = client_of(commands)

    replies = [redis.get("a"), redis.get("b")]

    assert [command for _, command in commands.sent] == [("GET", "a"), ("GET", "b")]
    assert await settled(replies) == [b"1", b"2"]
    assert await settled(replies) == [b"1", b"2"]


@pytest.mark.parametrize("answer", [RedisUnavailable("away"), ValueError("WRONGTYPE Operation")])
async def test_whatever_goes_wrong_redis_is_unavailable(
    answer: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    redis = client_of(FakeCommands(answer))

    with pytest.raises(RedisUnavailable):
        await redis.hget("k", "f")

    refused = isinstance(answer, ValueError)
    assert caplog.messages == ["Redis refuses hget: WRONGTYPE Operation"] * refused


async def test_a_script_is_called_by_its_hash_and_counted_by_its_name() -> None:
    commands = FakeCommands([b"1"], 1)
    redis = client_of(commands)
    sha = script_hash(SCRIPTS["claim"])

    assert await redis.evalsha(sha, ["key", "other"], ["a", 2]) == [b"1"]
    await redis.exists("k")

    assert commands.sent[0] == (3, ("EVALSHA", sha, 2, "key", "other", "a", 2))
    assert redis.operations == {"claim": 1, "exists": 1}


@pytest.mark.parametrize("is_cluster", [True, False])
async def test_only_several_servers_have_to_be_waited_for_to_keep_an_order(
    is_cluster: bool,
) -> None:
    commands = FakeCommands()  # which answers nothing
    commands.servers.is_cluster = is_cluster
    redis = client_of(commands)
    waiting = asyncio.ensure_future(redis.ordered(redis.sadd("k", "m")))

    await asyncio.sleep(0)

    assert waiting.done() is not is_cluster
    waiting.cancel()


async def test_keys_are_looked_for_on_all_servers() -> None:
    commands = FakeCommands([b"7", [b"a"]], [b"0", [b"b"]], [b"0", [b"c"]])

    found = [key async for key in client_of(commands).keys_like("p:*")]

    assert found == ["a", "b", "c"]
    assert [(slot, words[1]) for slot, words in commands.sent] == [(3, 0), (3, b"7"), (9, 0)]
