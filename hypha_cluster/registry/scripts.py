"""The Lua scripts that change several keys as one, and the client that knows them."""

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from hypha_cluster.links.client import RedisClient, Reply, Word, script_hash
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.urls import find_servers


def read_script(name: str) -> bytes:
    """The text of a script of this package."""
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


def read_scripts() -> dict[str, bytes]:
    """The texts of all scripts of this package, by their names."""
    files = resources.files(__package__).iterdir()
    names = sorted(file.name.removesuffix(".lua") for file in files if file.name.endswith(".lua"))
    return {name: read_script(name) for name in names}


def open_redis(
    servers: str | Servers, timeout: float, recovery: Recovery | None = None
) -> RedisClient:
    """A client for the servers, or those behind a URL; timeout in seconds, for an answer.

    recovery: told when a server has been away, and may have lost what it knew.
    """
    if isinstance(servers, str):
        servers = find_servers(servers, timeout)
    scripts, recovery = read_scripts(), recovery or Recovery()
    known = list(scripts.values())
    return RedisClient(Commands(servers, "hypha-store", known, recovery, resends=True), scripts)


class Script:
    """A script of this package, by its name."""

    def __init__(self, redis: RedisClient, name: str) -> None:
        self._redis = redis
        self._sha = script_hash(read_script(name))

    def __call__(self, keys: Sequence[str], args: Iterable[Word] = ()) -> Reply[Any]:
        return self._redis.evalsha(self._sha, keys, args)
