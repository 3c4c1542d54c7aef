"""What is checked before a hub starts: its port, its certificate and its Redis."""

import errno
import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from hypha_cluster.config import masked_url
from hypha_cluster.errors import RedisUnavailable, StartupError
from hypha_cluster.links.link import Conversation
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.urls import find_servers
from hypha_cluster.protocol.limits import BACKLOG

PATIENCE = 5.0
_NO_CLUSTER = "cluster support disabled"  # what a single server says when asked for its slots
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


def listen(host: str, port: int) -> socket.socket:
    """Take the port, so that a second hub on it fails at once."""
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
        hello = _facts(await _hello(find_servers(url, PATIENCE)))
    except (RedisUnavailable, OSError, ValueError) as error:
        if _NO_CLUSTER in str(error):
            raise _other_kind(url, "is no node of a Redis Cluster", "") from None
        raise StartupError(f"no Redis at {masked_url(url)}: {_one_line(error)}") from None
    _require_kind(url, hello.get("mode", "standalone"))
    _require_version(url, hello.get("server", "redis"), hello.get("version", "0"))


async def ask_redis(url: str, *commands: tuple[str, ...]) -> list[Any]:
    """The replies of one server at a URL; RedisUnavailable if none replies."""
    return await _ask(find_servers(url, PATIENCE), *commands)


async def _hello(servers: Servers) -> Any:
    return (await _ask(servers, ("HELLO",)))[0]


async def _ask(servers: Servers, *commands: tuple[str, ...]) -> list[Any]:
    await servers.look()
    for address in servers.in_use():
        conversation = Conversation(address, servers.access)
        try:
            await conversation.begin("hypha-check", must_be_master=servers.needs_role)
            return [await conversation.ask(*command) for command in commands]
        finally:
            conversation.link.close()
            await servers.aclose()
    raise RedisUnavailable("no server there has any slots")


def _require_kind(url: str, mode: str) -> None:
    """Check that the URL names the right kind: a cluster's node refuses most commands otherwise."""
    if mode == "cluster" and urlsplit(url).scheme.partition("+")[2] != "cluster":
        raise _other_kind(url, "is a node of a Redis Cluster", "+cluster")
    if mode == "sentinel":
        raise StartupError(
            f"the server at {masked_url(url)} is a Sentinel: "
            "write redis+sentinel://host:port/name-of-the-master"
        )


def _other_kind(url: str, what: str, kind: str) -> StartupError:
    """The error for a server of another kind. kind: what its URL has behind `redis` or `rediss`."""
    parts = urlsplit(masked_url(url))
    scheme = parts.scheme.partition("+")[0].replace("unix", "redis") + kind
    right = f"{scheme}://{parts.netloc or 'host:port'}"
    return StartupError(f"the server at {masked_url(url)} {what}: write {right}")


def _facts(hello: Any) -> dict[str, str]:
    pairs = hello.items() if isinstance(hello, dict) else zip(hello[::2], hello[1::2], strict=True)
    return {_decoded(key): _decoded(value) for key, value in pairs}


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
