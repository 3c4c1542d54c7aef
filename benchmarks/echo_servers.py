"""Servers that echo WebSocket frames and do nothing else: `python -m benchmarks.echo_servers NAME`.

`echo-hypercorn` has Hypercorn's own WebSocket path; `echo-asgi` and `echo-direct` ours, the second
by callbacks instead of receive and send; `echo-uvicorn` is uvicorn with the websockets package; and
`echo-bare` parses nothing: about what the event loop and the system calls cost.
"""

import argparse
import asyncio
from typing import Any, cast

import hypercorn
import uvloop
from hypercorn.asyncio import serve
from websockets.speedups import apply_mask

from hypha_cluster.serving.gateway import keep_freed_memory
from hypha_cluster.serving.http11.server import install
from hypha_cluster.serving.http11.websocket_frames import binary_header
from hypha_cluster.serving.http11.websocket_upgrade import EXTENSION

FRAME_SIZE = 200  # bytes of payload
MASK_SIZE = 4
HOST = "127.0.0.1"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


async def echo_by_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event["bytes"]})


async def echo_directly(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return await echo_by_asgi(scope, receive, send)
    direct = scope["extensions"][EXTENSION]
    await send({"type": "websocket.accept"})
    direct.start(direct.send, lambda: None)
    await direct.wait_closed()


class BareEcho(asyncio.Protocol):
    """Knows how long each frame is."""

    _header = binary_header(FRAME_SIZE)
    _mask_at = len(_header)
    _payload_at = len(_header) + MASK_SIZE
    _size = _payload_at + FRAME_SIZE

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self._transport.write(SWITCHING)
            return
        data = self._held + data if self._held else data
        whole = len(data) - len(data) % self._size
        self._held = data[whole:]
        echoes: list[bytes] = []
        for start in range(0, whole, self._size):
            payload_at = start + self._payload_at
            mask = data[start + self._mask_at : payload_at]
            echoes += self._header, apply_mask(data[payload_at : start + self._size], mask)
        self._transport.write(b"".join(echoes))


async def run_bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(BareEcho, HOST, port)
    await server.serve_forever()


async def run_hypercorn(name: str, port: int) -> None:
    if name != "echo-hypercorn":
        install()
    settings = hypercorn.Config()
    settings.bind = [f"{HOST}:{port}"]
    settings.errorlog = None
    echo: Any = echo_directly if name == "echo-direct" else echo_by_asgi
    await serve(echo, settings, mode="asgi", shutdown_trigger=asyncio.Event().wait)


async def run_uvicorn(port: int) -> None:
    import uvicorn

    settings = uvicorn.Config(
        cast(Any, echo_by_asgi),
        host=HOST,
        port=port,
        ws="websockets",
        ws_per_message_deflate=False,
        log_level="critical",
    )
    await uvicorn.Server(settings).serve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()

    keep_freed_memory()
    runs = {"echo-bare": run_bare, "echo-uvicorn": run_uvicorn}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.name in runs:
            runner.run(runs[options.name](options.port))
        else:
            runner.run(run_hypercorn(options.name, options.port))


if __name__ == "__main__":
    main()
