"""What is checked before a hub starts: its port, its certificate and its Redis."""

import errno
import re
import socket
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from hypha_cluster.config import masked_url
from hypha_cluster.errors import StartupError

BACKLOG = 4096
PATIENCE = 5.0
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


def listen(host: str, port: int) -> socket.socket:
    """Take the port, so that a second hub on it is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(f"cannot listen on {host}:{port}: {_reason(error)}") from None
    listener.setblocking(False)
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use"
    return error.strerror or str(error)


async def check_redis(url: str) -> None:
    """Make sure that a Redis answers at `url`, and that it is new enough."""
    try:
        client = await _client(url)
        try:
            hello: Any = await client.execute_command("HELLO")
        finally:
            await client.aclose()
    except ResponseError as error:
        # Before version 6 there was no such command.
        raise StartupError(f"Redis at {masked_url(url)} is not usable: {error}") from None
    except (RedisError, RedisClusterException, OSError, ValueError) as error:
        raise StartupError(f"no Redis at {masked_url(url)}: {_one_line(error)}") from None
    _require_version(url, *_server_and_version(hello))


async def _client(url: str) -> "Redis | RedisCluster":
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    options: dict[str, Any] = {
        "socket_connect_timeout": PATIENCE,
        "socket_timeout": PATIENCE,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if not kind:
        return Redis.from_url(url, **options)
    options["ssl"] = scheme == "rediss"
    user: dict[str, Any] = {"username": _text(parts.username), "password": _text(parts.password)}
    if kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, 6379)]
        return RedisCluster(startup_nodes=nodes, **options, **user)
    service = parts.path.split("/")[1]
    host, port = await _master(_hosts(parts.netloc, 26379), service, options)
    return Redis(host=host, port=port, **options, **user)


async def _master(
    hosts: list[tuple[str, int]], service: str, options: dict[str, Any]
) -> tuple[str, int]:
    sentinel = Sentinel(hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
    try:
        host, port = await sentinel.discover_master(service)
    except MasterNotFoundError:
        raise ConnectionError(f"no sentinel there knows a master {service!r}") from None
    finally:
        for client in sentinel.sentinels:
            await client.aclose()
    return str(host), int(port)


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None


def _hosts(netloc: str, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for entry in netloc.rpartition("@")[2].split(","):
        host, _, port = entry.partition(":")
        hosts.append((host, int(port or default_port)))
    return hosts


def _server_and_version(hello: Any) -> tuple[str, str]:
    pairs = hello.items() if isinstance(hello, dict) else zip(hello[::2], hello[1::2], strict=True)
    facts = {_decoded(key): _decoded(value) for key, value in pairs}
    return facts.get("server", "redis"), facts.get("version", "0")


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _require_version(url: str, server: str, version: str) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST.get(server, (0, 0)):
        raise StartupError(
            f"{server} {version} at {masked_url(url)} is too old: "
            "needed is Redis 7.0 or Valkey 7.2, or newer"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def check_certificate(certfile: str, keyfile: str) -> None:
    if not certfile:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certfile, keyfile)
    except OSError as error:  # ssl.SSLError is one
        raise StartupError(f"certfile {certfile} and keyfile {keyfile}: {error}") from None
