"""The Lua scripts that change several keys as one."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.asyncio.client import Pipeline

from hypha_cluster.links.client import StoreClient


def read_script(name: str) -> bytes:
    """The text of a script of this package."""
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


class Script:
    """A script of this package, by its name."""

    def __init__(self, redis: StoreClient, name: str) -> None:
        self._redis = redis
        self._sha = redis.know_script(name, read_script(name))

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | int] = ()) -> Any:
        return await self._redis.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)

    def in_pipeline(
        self, pipe: Pipeline, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> None:
        """Have it called with the other commands of a pipeline."""
        pipe.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
