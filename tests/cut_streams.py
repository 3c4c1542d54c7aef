"""A balancer that hands connections to gateways in turn, and cuts their event streams off."""

import asyncio
import itertools
from collections.abc import Sequence

from tests.way import Way

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class StreamCutter(Way):
    """Everything comes through; but streams lose what comes after `lose`, until they are `cut`."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._targets = itertools.cycle([url.rpartition("/")[2].split(":") for url in urls])
        self._cut: set[asyncio.WriteTransport] = set()
        self._is_losing, self._lost = False, 0
        self.opened = 0  # event streams, in all

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lose(self) -> None:
        self._is_losing, self._lost = True, 0

    async def has_lost(self) -> bool:
        """Whether anything was lost."""
        return bool(self._lost)

    def cut(self) -> None:
        for transport in self._cut:
            transport.abort()
        self._cut.clear()
        self._is_losing = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = next(self._targets)
        onward = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, onward[1]))
                ways.create_task(self._carry_back(onward, writer))
        except* OSError:
            pass
        finally:
            onward[1].transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _carry_back(self, gateway: Streams, writer: asyncio.StreamWriter) -> None:
        is_stream = False
        while data := await gateway[0].read(65536):
            if b"text/event-stream" in data:
                is_stream = True
                self.opened += 1
                self._cut |= {gateway[1].transport, writer.transport}
            if is_stream and self._is_losing:
                self._lost += len(data)
            else:
                writer.write(data)
                await writer.drain()
        writer.write_eof()
