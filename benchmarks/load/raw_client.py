"""A client that costs next to nothing: frames packed and masked in advance, few are ever parsed."""

import asyncio
import itertools
import secrets
import struct
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import msgpack

MASK = secrets.token_bytes(4)
CLOSE, PING, PONG = 0x8, 0x9, 0xA
FIN_BINARY = 0x82
MASKED = 0x80
MANAGER = "workspace-manager"
PATIENCE = 60.0  # seconds

_pack = msgpack.Packer().pack


def masked(payload: bytes, first: int = FIN_BINARY) -> bytes:
    """A whole WebSocket frame as a client sends it (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, MASKED | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", first, MASKED | 127, size)
    mask = int.from_bytes((MASK * (size // 4 + 1))[:size])
    return head + MASK + (int.from_bytes(payload) ^ mask).to_bytes(size)


def call_frame(to: str, method: str, args: list[Any], session: str, client: str) -> bytes:
    """A call as it goes through a WebSocket."""
    return masked(call_payload(to, method, args, session, client))


def call_payload(to: str, method: str, args: list[Any], session: str, client: str) -> bytes:
    """A call as the published clients make it (protocol.md 5.2), without a heartbeat."""

    def callback(name: str) -> dict[str, Any]:
        method = f"{session}.{name}"
        return {"_rtype": "method", "_rtarget": client, "_rmethod": method, "_rpromise": False}

    main = {"type": "method", "from": client, "to": to, "method": method, "session": session}
    promise = {"resolve": callback("resolve"), "reject": callback("reject")}
    packed: bytes = _pack(main) + _pack({"args": args, "promise": promise})
    return packed


def reply_frame(to: str, session: str, client: str, result: Any) -> bytes:
    main = {"type": "method", "from": client, "to": to, "method": f"{session}.resolve"}
    return masked(_pack({**main, "parent": session}) + _pack({"args": [result]}))


class RawClient(asyncio.Protocol):
    """One connection. `on_message` gets the payload of each frame; replace it at any time."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.workspace = ""
        self.token = ""
        self.on_message: Callable[[bytes], None] = self._take
        self.services: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self._transport: asyncio.Transport
        self._held = b""
        loop = asyncio.get_running_loop()
        self._admitted: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    @property
    def address(self) -> str:
        return f"{self.workspace}/{self.id}"

    async def connect(self, url: str, workspace: str = "", token: str = "") -> "RawClient":
        place = urlsplit(url)
        self.workspace, self.token = workspace, token
        query = {"client_id": self.id, "workspace": workspace, "token": token}
        path = f"{place.path}/ws?" + urlencode({k: v for k, v in query.items() if v})
        host, port = place.hostname or "localhost", place.port or 80
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        self._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        async with asyncio.timeout(PATIENCE):
            await self._admitted
        return self

    def write(self, frame: bytes) -> None:
        """Send what `masked` made."""
        self._transport.write(frame)

    async def leave(self) -> None:
        """Close in order, and wait for the server to have understood."""
        self.write(masked((1000).to_bytes(2), 0x80 | CLOSE))
        await self.closed

    def abort(self) -> None:
        self._transport.abort()

    async def call_manager(self, method: str, *args: Any) -> Any:
        session = f"s{next(self._numbers)}"
        answer = self._calls[session] = asyncio.get_running_loop().create_future()
        self.write(call_frame(MANAGER, method, list(args), session, self.id))
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def announce(self) -> None:
        """Tell the hub of `services`."""
        infos = [
            {**{k: v for k, v in service.items() if k != "echo"}, "id": f"{self.id}:{name}"}
            for name, service in self.services.items()
        ]
        info = {"id": self.id, "services": infos}
        await self.call_manager("services.default.update_client_info", info)

    def _take(self, payload: bytes) -> None:
        """What is not part of a measured exchange: answers, and requests for a service."""
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(payload)
        main, *rest = list(unpacker)
        extra = rest[0] if rest else {}
        session, _, name = main["method"].rpartition(".")
        if session in self._calls:
            self._finish(self._calls.pop(session), name, extra["args"][0])
        elif main["method"] == "services.built-in.get_service":
            service = self.services[extra["args"][0]]
            self.write(reply_frame(main["from"], main["session"], self.id, service))

    @staticmethod
    def _finish(call: "asyncio.Future[Any]", name: str, result: Any) -> None:
        if name == "resolve":
            call.set_result(result)
        else:
            call.set_exception(RuntimeError(str(result)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if not self._admitted.done():
            self._admitted.set_exception(ConnectionError("closed during the handshake"))

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        if not self._admitted.done():
            data = self._handshake(data)
        start = 0
        while (bounds := _frame_at(data, start)) is not None:
            body, end = bounds
            if data[start] == FIN_BINARY:
                self.on_message(data[body:end])
            else:
                self._control(data[start] & 0x0F, data[body:end])
            start = end
        self._held = data[start:]

    def _handshake(self, data: bytes) -> bytes:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            return data
        if b" 101 " in head:
            self._admitted.set_result(None)
            return rest
        self._admitted.set_exception(ConnectionError(head.decode(errors="replace")))
        return b""

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.write(masked(payload, 0x80 | PONG))
        elif opcode == CLOSE:
            self._transport.close()


def _frame_at(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the payload of the frame begins and ends, once all of it is there."""
    size = len(data)
    if size - start < 2:
        return None
    length, body = data[start + 1], start + 2
    if length == 126:
        body += 2
    elif length == 127:
        body += 8
    if size < body:
        return None
    if length > 125:
        length = int.from_bytes(data[start + 2 : body])
    return (body, body + length) if size >= body + length else None
