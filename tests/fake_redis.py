"""A Redis that answers what it is told to, and keeps what it is asked, for what works with one."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient, script_hash
from hypha_cluster.links.commands import Commands
from hypha_cluster.metrics import RedisMeter
from hypha_cluster.registry.scripts import read_scripts

# What commands answer that nobody has said anything of.
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("get", "hget", "take_lease"), None),
    **dict.fromkeys(("smembers", "srandmember", "hkeys", "hgetall", "zrange", "settle"), []),
}
AWAY = RedisUnavailable("Redis is away.")

Words = tuple[Any, ...]


class FakeServers:
    """Where all keys are in one slot; in a cluster, those that begin alike are."""

    is_cluster = False

    def slot(self, key: str) -> int:
        return hash(key.partition("}")[0]) if self.is_cluster else 0


class FakeRedis:
    """Commands by their names, and scripts by theirs; `client` is what sends them.

    answers: what a command is answered, or a function that answers its words; an exception is
    answered as one.
    """

    def __init__(self) -> None:
        self.servers = FakeServers()
        self.is_open = True
        self.meter = RedisMeter()
        self.answers: dict[str, Any] = {}
        self.sent: list[tuple[str, Words]] = []
        scripts = read_scripts()
        self._scripts = {script_hash(script): name for name, script in scripts.items()}
        self.client = RedisClient(cast(Commands, self), scripts)

    @property
    def names(self) -> list[str]:
        """Which commands were sent, in their order."""
        return [name for name, _ in self.sent]

    def words(self, name: str) -> list[Words]:
        """With which words a command was sent, each time."""
        return [words for sent, words in self.sent if sent == name]

    def ask(self, slot: int, command: Words) -> asyncio.Future[Any]:
        name, words = str(command[0]).lower(), command[1:]
        if name == "evalsha":
            name, words = self._scripts[words[0]], words[2:]
        self.sent.append((name, words))
        answer = self.answers.get(name, _NOTHING.get(name, 1))
        if callable(answer):
            answer = cast(Callable[[Words], Any], answer)(words)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply.set_result(answer)
        return reply
