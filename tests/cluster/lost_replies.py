"""A way to Redis on which replies get lost: the connection breaks when one comes, now and then."""

import asyncio
import random
from contextlib import suppress
from typing import Final

from tests.way import Way

# What a registry works with; frames and subscriptions go by other connections.
LOSSY: Final = b"hypha-store"


class LostReplies(Way):
    """Stands between gateways and a server. `lost` counts the replies that did not arrive.

    share: of the packets of replies that get lost, while `is_on`.
    """

    def __init__(self, port: int, share: float) -> None:
        super().__init__()
        self._target = port
        self._share = share
        self.is_on = False
        self.lost = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            first = await reader.read(65536)
            redis_writer.write(first)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_carry(reader, redis_writer))
                ways.create_task(self._answer(redis_reader, writer, is_lossy=LOSSY in first))
        finally:
            redis_writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_lossy: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if is_lossy and self.is_on and random.random() < self._share:
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
