"""Stands before a gateway and keeps what passes by: who is asked for what, and what is answered."""

import asyncio
import contextlib
import re
from types import TracebackType
from typing import NamedTuple, Self

_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS) (\S+) HTTP/1\.1\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"^content-length: (\d+)\r?$", re.IGNORECASE | re.MULTILINE)
_LINK = re.compile(r"""(?:href|src|action)\s*=\s*["']([^"']+)["']""")


class Answer(NamedTuple):
    """An answer as it passed by. head: without its status line."""

    status: int
    head: str
    body: str


class Recorder:
    """A relay of plain TCP; answers pass by uncompressed, for nobody is heard to ask for else."""

    def __init__(self) -> None:
        self.url = ""
        self.port = 0  # of the gateway
        self._asked: list[bytearray] = []
        self._told: list[bytearray] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # What it has seen.

    @property
    def targets(self) -> list[str]:
        """The addresses of all requests, without the host."""
        return [target.decode() for each in self._asked for target in _REQUEST.findall(each)]

    @property
    def referers(self) -> list[str]:
        found = re.compile(rb"^referer: ([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
        return [each.decode() for asked in self._asked for each in found.findall(asked)]

    @property
    def answers(self) -> list[Answer]:
        return [answer for told in self._told for answer in _answers(bytes(told))]

    @property
    def links(self) -> list[str]:
        """Where answers lead: redirects, and what stands in their pages."""
        found = []
        for answer in self.answers:
            found += re.findall(r"^location: ([^\r\n]*)", answer.head, re.I | re.M)
            found += _LINK.findall(answer.body)
        return found

    # How it sees it.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        asked, told = bytearray(), bytearray()
        self._asked.append(asked)
        self._told.append(told)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(
                _pass_on(reader, far_writer, asked), _pass_on(far_reader, writer, told)
            )
        except asyncio.CancelledError:
            pass  # it is over; asyncio's streams would log it
        finally:
            for each in (writer, far_writer):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            data = re.sub(rb"(?i)\r\naccept-encoding:", b"\r\nx-not-asked-for:", data)
            seen += data
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _answers(told: bytes) -> list[Answer]:
    answers = []
    at = 0
    while found := _ANSWER.search(told, at):
        length = _LENGTH.search(found[2])
        following = told.find(b"HTTP/1.1 ", found.end())
        rest = following if following >= 0 else len(told)
        at = found.end() + int(length[1]) if length else rest
        body = told[found.end() : at].decode(errors="replace")
        answers.append(Answer(int(found[1]), found[2].decode(errors="replace"), body))
    return answers
