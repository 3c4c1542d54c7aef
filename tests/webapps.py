"""Processes that provide web applications, each with a published client in an environment."""

import asyncio
import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from tests.client_environments import environment
from tests.gateways import SECOND

PROGRAMS = Path(__file__).parent / "conformance"
LIMIT = 45 * SECOND
SERVICES = {"plain": "public", "funcs": "public", "context": "public"}


class Provider:
    """One process; `notices` is what its applications have said."""

    def __init__(
        self,
        server_url: str,
        kind: str = "imjoy-rpc-0.5.59",
        program: str = "webapp_program.py",
        services: dict[str, str] = SERVICES,
        **connect: Any,
    ) -> None:
        config = {"connect": {"server_url": server_url, **connect}, "services": services}
        self._process = subprocess.Popen(
            [environment(kind).make(), PROGRAMS / program, json.dumps(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.notices: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {}
        self._errors: list[str] = []
        self._told = threading.Condition()
        self._is_over = False
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    async def __aenter__(self) -> Self:
        try:
            self.about = await self._next(lambda notice: "workspace" in notice)
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    @property
    def workspace(self) -> str:
        workspace: str = self.about["workspace"]
        return workspace

    @property
    def token(self) -> str:
        token: str = self.about["token"]
        return token

    async def notice(self, event: str) -> dict[str, Any]:
        """Wait until an application has noticed something."""
        return await self._next(lambda notice: notice.get("event") == event)

    async def _next(self, condition: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._wait, condition)

    def _wait(self, condition: Any) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((notice for notice in self.notices if condition(notice)), None)

        with self._told:
            self._told.wait_for(lambda: found() is not None or self._is_over, LIMIT)
        notice = found()
        assert notice is not None, "".join(self._errors)
        return notice

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and line.endswith("\n"):  # it may be killed within a line
                with self._told:
                    self.notices.append(json.loads(line))
                    self._told.notify_all()
        with self._told:
            self._is_over = True
            self._told.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)
