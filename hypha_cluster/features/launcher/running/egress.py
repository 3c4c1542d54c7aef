"""The proxy through which pages of apps reach others: the hub, and what is public.

Everything that a page asks for goes through it, also on this machine: so no page reads what other
programs here offer, or what a cloud tells its machines.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from hypha_cluster.errors import HubError, PermissionDenied
from hypha_cluster.features.launcher.fetching import public_address
from hypha_cluster.supervision import Supervisor, Tasks, outcome

_log = logging.getLogger(__name__)

_PIECE: Final = 65_536  # bytes
_HEAD: Final = 65_536  # bytes of the head of a request
_PATIENCE: Final = 30.0  # seconds for a head, or to connect
# Fields that are for this proxy, and those that a hub believes of proxies on its own network.
_DROPPED: Final = (
    *(b"connection", b"proxy-connection", b"proxy-authorization"),
    *(b"forwarded", b"x-forwarded-", b"x-real-ip"),
)
_PORTS: Final = {"http": 80, "https": 443}


class Target(NamedTuple):
    """A host and a port to connect to."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls((parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0))


class _Head(NamedTuple):
    """The head of a request to the proxy. first: the bytes to pass on first; empty for a tunnel."""

    target: Target
    first: bytes


# Returns the gateways that are there, for when the address of the hub does not answer.
Gateways = Callable[[], Awaitable[list[Target]]]


# Writes into the log of an app: a kind of entry, and a text.
Tell = Callable[[str, str], None]


class Egress:
    """Opens a door on this machine for each page; what a page asks for goes through its own.

    hub: where pages reach the hub. public: whether they reach anything else.
    """

    def __init__(
        self, hub: str, gateways: Gateways, supervisor: Supervisor, *, public: bool
    ) -> None:
        self._hub = Target.of(hub)
        # With https, a page cannot go to another gateway by its address: no certificate has that.
        self._has_names = urlsplit(hub).scheme == "https"
        self._gateways = gateways
        self._public = public
        self._supervisor = supervisor

    @contextlib.asynccontextmanager
    async def door(self, tell: Tell) -> AsyncIterator[str]:
        """Meanwhile a proxy listens at this URL; what it refuses, the app reads in its log."""
        tasks = Tasks(self._supervisor)

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.spawn("egress", self._serve(reader, writer, tell))

        server = await asyncio.start_server(take, "127.0.0.1", 0, limit=_HEAD)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await tasks.stop()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell
    ) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = _read(await reader.readuntil(b"\r\n\r\n"))
                onward = await self._connect(head.target)
        except HubError as error:
            _log.debug("The page of an app is refused something: %s", error)
            tell("warning", f"The hub's proxy refuses what the page asks for: {error}")
            await _refuse(writer, 403, str(error))
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
            await _refuse(writer, 502, type(error).__name__)
        else:
            await _join(head, (reader, writer), onward)
        finally:
            writer.close()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if target == self._hub:
            return await self._connect_to_hub()
        if not self._public:
            raise PermissionDenied("Pages of apps reach the hub only.")
        if target.port not in _PORTS.values():
            raise PermissionDenied(
                f"Pages of apps reach the ports 80 and 443 of others, not {target.port}."
            )
        address = await public_address(target.host, target.port)
        return await asyncio.open_connection(address, target.port)

    async def _connect_to_hub(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(*self._hub)
        except OSError:
            for gateway in [] if self._has_names else await self._gateways():
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(*gateway)
            raise


def _read(head: bytes) -> _Head:
    """ValueError for what is no request to a proxy."""
    line, _, fields = head.partition(b"\r\n")
    method, where, version = line.split(b" ")
    if method == b"CONNECT":
        return _Head(Target.of(f"//{where.decode()}"), b"")
    url = where.decode()
    if not url.startswith("http://"):
        raise ValueError(url)
    path = url.removeprefix("http://").partition("/")[2]
    kept = [each for each in fields.split(b"\r\n") if not each.lower().startswith(_DROPPED)]
    # One request a connection: the next one may be for somebody else.
    lines = [b" ".join((method, b"/" + path.encode(), version)), b"Connection: close", *kept]
    return _Head(Target.of(url), b"\r\n".join(lines))


async def _join(
    head: _Head,
    page: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    onward: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Pass on what both sides send, until both have ended."""
    (from_page, to_page), (from_there, to_there) = page, onward
    try:
        if head.first:
            to_there.write(head.first)
        else:
            to_page.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = asyncio.ensure_future(_pass_on(from_there, to_page))
        forth = asyncio.ensure_future(_pass_on(from_page, to_there))
        try:
            await back  # when the other side has ended, nobody is left to send to
        finally:
            for each in (back, forth):
                each.cancel()
            await asyncio.gather(back, forth, return_exceptions=True)
    finally:
        to_there.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    body = reason.encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await outcome(writer.drain())
