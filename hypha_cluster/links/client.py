"""The client that the store works with, and its errors in the hub's words."""

import asyncio
import functools
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.metrics import RedisMeter

_log = logging.getLogger(__name__)

_AT_EVALSHA: Final = 3  # where the first key of a script is
_KEYLESS: Final = frozenset(("PING", "SCAN", "INFO", "TIME", "FLUSHALL", "SCRIPT LOAD"))

# Of commands that were sent; those that failed are exceptions, as values.
Replies = Sequence[asyncio.Future[Any]]

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


class StoreClient(Redis):
    """redis-py's commands, sent to whichever server has the key, over one connection to each.

    All keys of a command must be in one slot; a pipeline may span several, so it is no
    transaction: what must be done as one is a script.

    scripts: by their names, which are those of operations in the metrics; each server is made to
    know them before they are called. recovery is told when a server has been away, and may have
    forgotten.
    """

    def __init__(
        self, servers: Servers, scripts: Mapping[str, bytes], recovery: Recovery | None = None
    ) -> None:
        super().__init__(protocol=2)  # for how it reads replies
        known = list(scripts.values())
        self._commands = Commands(
            servers, "hypha-store", known, recovery or Recovery(), resends=True
        )
        self._starting = asyncio.Lock()
        self._is_started = False
        self._script_names = {script_hash(script): name for name, script in scripts.items()}
        self.operations: Counter[str] = Counter()

    @property
    def meter(self) -> RedisMeter:
        """What the connections have been used for."""
        return self._commands.meter

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self._commands.aclose()
        await self._commands.servers.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if not self._is_started:
            await self._start()
        return self._parsed(args, options, await self._send(args))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "_Pipeline":
        if transaction:
            raise NotImplementedError("What must be done as one is a script.")
        return _Pipeline(self)

    async def keys_like(self, pattern: str) -> AsyncIterator[bytes]:
        """All keys of all servers that match; slow, and not for the path of anything."""
        await self._start()
        for slot in self._commands.servers.some_slots():
            cursor: Any = b"0"
            while True:
                command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                reply = await self._commands.ask(slot, command)
                cursor, keys = _checked(reply)
                for key in keys:
                    yield key
                if cursor == b"0":
                    break

    async def _start(self) -> None:
        if not self._is_started:
            async with self._starting:
                await self._commands.start()
                self._is_started = True

    def _send(self, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        self.operations[self._operation(args)] += 1
        slot = self._commands.servers.slot(_key(args)) if args[0] not in _KEYLESS else 0
        return self._commands.ask(slot, _words(args))

    def _operation(self, args: tuple[Any, ...]) -> str:
        """What a command is called in the metrics."""
        command: str = args[0]
        if command == "EVALSHA":
            return self._script_names[args[1]]
        return command.lower().replace(" ", "_")

    def _parsed(self, args: tuple[Any, ...], options: dict[str, Any], reply: Any) -> Any:
        _checked(reply)
        options.pop("keys", None)  # redis-py's, for its cache
        parse = self.response_callbacks.get(args[0])
        return parse(reply, **options) if parse else reply

    async def execute_all(self, stack: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Send commands together, and answer all their replies."""
        if not self._is_started:
            await self._start()
        replies = [await reply for reply in self.send_all(stack)]
        return [
            self._parsed(args, options, reply)
            for (args, options), reply in zip(stack, replies, strict=True)
        ]

    def send_all(self, stack: Sequence[tuple[Any, Any]]) -> Replies:
        """Send commands together, once it is started; for `settled`."""
        return [self._send(args) for args, _ in stack]

    async def settled(self, replies: Replies) -> None:
        """Wait until commands are done; RedisUnavailable or an error of Redis if one is not."""
        for reply in replies:
            _checked(await reply)


def script_hash(script: bytes) -> str:
    """By which a server knows a script."""
    return hashlib.sha1(script).hexdigest()


class _Pipeline(Pipeline):
    """Commands that are sent together; each to the server that has its key."""

    def __init__(self, client: StoreClient) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        return await self._client.execute_all(stack)

    def send(self) -> Replies:
        """Send the commands, for others to go on meanwhile."""
        stack, self.command_stack = self.command_stack, []
        return self._client.send_all(stack)


def _key(args: tuple[Any, ...]) -> str | bytes:
    key = args[_AT_EVALSHA if args[0] == "EVALSHA" else 1]
    return key if isinstance(key, str | bytes) else str(key)


def _words(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """redis-py writes some commands as two words in one."""
    return (*args[0].split(), *args[1:]) if " " in args[0] else args


def _checked(reply: Any) -> Any:
    if isinstance(reply, RedisUnavailable):
        raise reply
    if isinstance(reply, Exception):
        raise exceptions.ResponseError(str(reply))
    return reply


def translated(
    method: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Awaitable[T]]:
    """Let a method of a store fail with RedisUnavailable when Redis is away, or refuses."""

    @functools.wraps(method)
    async def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except exceptions.RedisError as error:
            _log.warning("Redis refuses: %s", error)
            raise RedisUnavailable(
                "The hub's Redis does not do its work at the moment; try again."
            ) from error

    return wrapper
