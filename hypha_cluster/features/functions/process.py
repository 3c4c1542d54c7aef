"""The process of one startup function, as its gateway sees it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from hypha_cluster.errors import StartupError
from hypha_cluster.features.functions import program

_SILENT: Final = "it gave no reason; its output says more"


class Process:
    """A program that runs one function. It ends with the gateway, and so does what it started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, python: str, orders: dict[str, Any]) -> "Process":
        """Begin to run; StartupError when there is no such Python."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                python or sys.executable,
                str(Path(program.__file__)),
                stdin=pipe,
                stdout=pipe,
                start_new_session=True,
            )
        except OSError as error:
            raise StartupError(f"functions_python: {python}: {error.strerror}") from None
        assert process.stdin
        with contextlib.suppress(ConnectionError):  # it has ended, and its exit code says more
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            await process.stdin.drain()
        return cls(process)

    async def returned(self) -> None:
        """Wait until the function has returned; StartupError says why it has not."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        reason = json.loads(line) if line else _SILENT
        if reason is not None:
            raise StartupError(f"startup_functions: {reason}")

    async def ended(self) -> int:
        """Wait for its end; return its exit code, or -N for a signal N."""
        return await self._process.wait()

    async def end(self) -> None:
        """Kill it, and what it has started. It does not say that it leaves: its successor comes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
