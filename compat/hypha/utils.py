"""What programs import of the original's `hypha.utils`. It needs nothing but Python."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any

LOOK = 0.1  # seconds between two looks whether a program is ready


class ExternalProcess:
    """A program that was launched; `kill` ends it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def terminate(self) -> int:
        """Ask it to end; answer its exit code."""
        if self.running:
            self._process.terminate()
        return await self._process.wait()

    async def kill(self) -> int:
        """End it; answer its exit code."""
        if self.running:
            self._process.kill()
        return await self._process.wait()


async def launch_external_services(  # noqa: PLR0913  # the original's
    server: Any,
    command: str,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    check_services: Sequence[str] | None = None,
    check_url: str | None = None,
    timeout: float = 5,  # noqa: ASYNC109  # the original's
    logger: Logger | None = None,
) -> ExternalProcess:
    """Start a program that connects to the hub, and wait until it is ready.

    command: split at blanks; {server_url}, {workspace} and {token} in it are replaced. Ready is it
    when all of check_services are found in the workspace, or when check_url answers anything,
    within `timeout` seconds; else it is ended, and an Exception says so.
    """
    workspace = server.config["workspace"]
    filled = command.format(
        server_url=server.config["local_base_url"],
        workspace=workspace,
        token=await server.generate_token(),
    )
    words = filled.split()
    if not words:
        raise ValueError(f"The command {command!r} is empty.")
    name = name or words[0]
    process = await asyncio.create_subprocess_exec(*words, env={**os.environ, **(env or {})})
    launched = ExternalProcess(name, process)
    ready = _ready(server, workspace, check_services or (), check_url)
    try:
        async with asyncio.timeout(timeout):
            while not await ready():
                if not launched.running:
                    raise _failed(name, f"it ended with {process.returncode}")
                await asyncio.sleep(LOOK)
    except BaseException as error:
        await launched.kill()
        if logger:
            logger.exception("External services (%s) failed to start", name)
        if isinstance(error, TimeoutError):
            raise _failed(name, f"it was not ready within {timeout:g} s") from None
        raise
    return launched


def _ready(
    server: Any, workspace: str, services: Sequence[str], url: str | None
) -> Callable[[], Any]:
    async def all_are_there() -> bool:
        for service in services:
            query = {"id": service, "workspace": workspace}
            if not await server.get_service(query):
                return False
        return True

    async def it_answers() -> bool:
        return await asyncio.to_thread(_answers, url)

    return it_answers if url and not services else all_are_there


def _answers(url: str | None) -> bool:
    try:
        with urllib.request.urlopen(url or "", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()  # somebody answers
        return True
    except OSError:
        return False


def _failed(name: str, reason: str) -> Exception:
    return Exception(f"External services ({name}) failed to start: {reason}")
