"""Measures what echoing a WebSocket frame costs the server, in CPU time.

    python benchmarks/websocket_echo.py [--loop uvloop] [--size 200] [--seconds 3]

Four servers in turn: `hypercorn` with its own WebSocket path; `asgi` and `direct` with ours, the
second by callbacks instead of receive and send; and `bare`, which parses nothing that it can do
without: about what the event loop and the system calls cost.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import hypercorn
import uvloop
from hypercorn.asyncio import serve
from websockets.speedups import apply_mask

from hypha_cluster.serving.gateway import keep_freed_memory
from hypha_cluster.serving.websocket_frames import BINARY, FIN, binary_header
from hypha_cluster.serving.websocket_stream import EXTENSION, install

SERVERS = ("hypercorn", "asgi", "direct", "bare")
MASK = b"\x12\x34\x56\x78"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def echo_by_asgi(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event["bytes"]})


async def echo_directly(scope: Any, receive: Any, send: Any) -> None:
    direct = scope["extensions"][EXTENSION]
    await send({"type": "websocket.accept"})
    direct.start(direct.send, lambda: None)
    await direct.wait_closed()


class BareEcho(asyncio.Protocol):
    """Knows how long each frame is, and that no two come at once."""

    def __init__(self, size: int) -> None:
        self._header = binary_header(size)
        self._start = len(self._header) + len(MASK)
        self._size = self._start + size
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            return
        frame = self._held + data if self._held else data
        self._held = frame
        if len(frame) == self._size:
            self._held = b""
            mask = frame[self._start - len(MASK) : self._start]
            self._transport.write(self._header + apply_mask(frame[self._start :], mask))


async def run_server(name: str, size: int, listener: socket.socket) -> None:
    if name == "bare":
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BareEcho(size), sock=listener)
        await server.serve_forever()
    if name != "hypercorn":
        install()
    settings = hypercorn.Config()
    settings.bind = [f"fd://{listener.fileno()}"]
    settings.errorlog = None
    echo: Any = echo_directly if name == "direct" else echo_by_asgi
    await serve(echo, settings, mode="asgi", shutdown_trigger=asyncio.Event().wait)


def start_server(name: str, size: int, loop: str, listener: socket.socket) -> None:
    keep_freed_memory()
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_server(name, size, listener))


@contextlib.contextmanager
def running(name: str, size: int, loop: str) -> Iterator[tuple[int, int]]:
    """Run a server in a process of its own; yield its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (name, size, loop, listener)
        process = multiprocessing.get_context("fork").Process(target=start_server, args=arguments)
        process.start()
        try:
            assert process.pid is not None
            yield listener.getsockname()[1], process.pid
        finally:
            process.kill()
            process.join()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(HANDSHAKE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert b" 101 " in answer
    return connection


def masked_frame(size: int) -> bytes:
    first, *length = binary_header(size)
    assert first == FIN | BINARY
    return bytes((first, length[0] | 0x80, *length[1:])) + MASK + os.urandom(size)


def exchange(connections: list[socket.socket], frame: bytes, buffer: memoryview) -> None:
    """Send a frame on each connection, and read its echo."""
    for connection in connections:
        connection.sendall(frame)
    for connection in connections:
        missing = len(frame) - len(MASK)
        while missing:
            missing -= connection.recv_into(buffer[:missing])


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, options: argparse.Namespace) -> float:
    """Return the server's microseconds of CPU per frame."""
    frame = masked_frame(options.size)
    buffer = memoryview(bytearray(len(frame)))
    with running(name, options.size, options.loop) as (port, pid):
        connections = [connect(port) for _ in range(options.connections)]
        exchange(connections, frame, buffer)
        frames, begun, end = 0, cpu_seconds(pid), time.monotonic() + options.seconds
        while time.monotonic() < end:
            exchange(connections, frame, buffer)
            frames += len(connections)
        return (cpu_seconds(pid) - begun) / frames * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=200, help="bytes of payload")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3, help="per server")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()

    costs = {name: measure(name, options) for name in SERVERS}

    for name, cost in costs.items():
        print(f"{name:10}{cost:9.1f} µs {cost / costs['hypercorn']:7.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
