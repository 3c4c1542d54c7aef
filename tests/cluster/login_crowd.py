"""Programs of several releases that wait for a login, and go on when they are told to."""

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.client_environments import environment
from tests.gateways import SECOND

PROGRAM = Path(__file__).parents[1] / "conformance" / "login_program.py"


class WaitingProgram:
    """One program: `address` is what it shows its user."""

    def __init__(self, url: str, release: str, way: str) -> None:
        self.name = f"{release} {way}"
        self.address = ""
        self._words = (url, way, "wait")
        self._release = release

    async def __aenter__(self) -> Self:
        python = await asyncio.to_thread(environment(f"imjoy-rpc-{self._release}").make)
        self._process = await asyncio.create_subprocess_exec(
            python,
            PROGRAM,
            *self._words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.address = (await self._said())["login_url"]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def go_on(self) -> None:
        """Have it ask for its token, once it has shown the address."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    async def outcome(self) -> dict[str, Any]:
        """Who it is once it has connected with its token, and the token."""
        return await self._said()

    async def _said(self) -> dict[str, Any]:
        assert self._process.stdout
        async with asyncio.timeout(60 * SECOND):
            while not (line := await self._process.stdout.readline()).startswith(b"{"):
                assert line, f"{self.name} has ended"  # others are what the client says itself
        said: dict[str, Any] = json.loads(line)
        return said
