"""The connection to Redis that the store works with, and its errors in the hub's words."""

import functools
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Concatenate, Final, ParamSpec, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.commands.core import AsyncScript

from hypha_cluster.errors import RelayUnavailable

# Together with the bus's two links: at most four connections a node.
POOL_SIZE: Final = 2

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


def open_redis(url: str, timeout: float) -> Redis:
    """A client for `url`; timeout in seconds, for a connection of the pool and for an answer."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        protocol=2,
        client_name="hypha-store",
    )
    return Redis(connection_pool=pool)


def read_script(package: str, name: str) -> str:
    return resources.files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def load_script(redis: Redis, name: str) -> AsyncScript:
    return redis.register_script(read_script("hypha_cluster.store", name))


def translated(
    method: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Awaitable[T]]:
    """Let a method of a store fail with RelayUnavailable when Redis is away."""

    @functools.wraps(method)
    async def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            raise RelayUnavailable(
                "The hub cannot reach its Redis at the moment; try again."
            ) from error

    return wrapper
