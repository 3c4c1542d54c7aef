"""A balancer that hands connections to gateways in turn, and cuts their event streams off."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class StreamCutter:
    """Everything comes through; but streams lose what comes after `lose`, until they are `cut`."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._targets = itertools.cycle([url.rpartition("/")[2].split(":") for url in urls])
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: set[asyncio.WriteTransport] = set()
        self._is_losing, self._lost = False, 0
        self.opened = 0  # event streams, in all

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        host, port = next(self._targets)
        onward = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, onward[1]))
                ways.create_task(self._carry_back(onward, writer))
        except* OSError:
            pass
        finally:
            for end in (writer, onward[1]):
                end.transport.abort()

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
