"""Published Python clients, each in a process and an environment of its own, driven from a test."""

import asyncio
import base64
import itertools
import json
import signal
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.client_environments import environment
from tests.gateways import SECOND

RELEASES = ("0.5.6", "0.5.16", "0.5.32", "0.5.44", "0.5.48.post2", "0.5.59")
OLDEST, NEWEST = RELEASES[0], RELEASES[-1]
LIMIT = 45 * SECOND  # more than any client waits
DRIVER = Path(__file__).parent / "conformance" / "python_driver.py"


def releases_since(version: str) -> list[str]:
    return [release for release in RELEASES if _numbers(release) >= _numbers(version)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


class RemoteError(Exception):
    """What a user of the client got to see instead of a result."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


# Values that a client is asked to make, or has described


@dataclass(frozen=True)
class NewArray:
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Array:
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Scalar:
    dtype: str
    number: float


@dataclass(frozen=True)
class File:
    content: bytes


@dataclass(frozen=True)
class Map:
    """A dictionary whose keys are not all strings."""

    items: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Error:
    text: str


@dataclass(frozen=True)
class Unsupported:
    """Something that no codec knows."""


@dataclass(frozen=True)
class Local:
    """A function that the client has: see the end of python_driver.py."""

    name: str


@dataclass(frozen=True)
class Recorder:
    """A callback that keeps what it was called with; `PythonClient.recorded` waits for it."""

    name: str


@dataclass(frozen=True)
class Other:
    """A value that the client could show, but that does not travel."""

    kind: str


class Remote:
    """A function that the client holds, its own or one that somebody offers."""

    def __init__(self, client: "PythonClient", number: int) -> None:
        self.client = client
        self.number = number

    async def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return await self.client.command(
            "call",
            function=self.number,
            arguments=list(arguments),
            keywords=keywords,
        )


class Connection:
    """One connection of a client; its items are what `connect_to_server` returned."""

    def __init__(self, client: "PythonClient", number: int, manager: dict[str, Any]) -> None:
        self.client = client
        self.number = number
        self._manager = manager

    def __getitem__(self, name: str) -> Any:
        return self._manager[name]

    def __contains__(self, name: str) -> bool:
        return name in self._manager

    @property
    def workspace(self) -> str:
        workspace: str = self["config"]["workspace"]
        return workspace

    async def client_id(self) -> str:
        client_id: str = (await self["get_connection_info"]())["client_id"]
        return client_id

    async def address(self) -> str:
        return f"{self.workspace}/{await self.client_id()}"

    async def rpc(self, method: str, *arguments: Any) -> Any:
        return await self.client.command(
            "rpc", connection=self.number, method=method, arguments=list(arguments)
        )

    async def reopen(self, times: int) -> None:
        """Open the connection anew, so often at once, as a client does that finds it closed."""
        await self.client.command("reopen", connection=self.number, times=times)


class PythonClient:
    """A process with one release of imjoy-rpc, which can hold several connections."""

    def __init__(self, release: str) -> None:
        self.release = release
        self._process = subprocess.Popen(
            [environment(f"imjoy-rpc-{release}").make(), "-X", "utf8", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def freeze(self) -> None:
        """Stop the process where it is, as a program does that blocks its event loop."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Everything the client and its libraries had to say so far."""
        return "".join(self._log)

    async def connect(self, server_url: str, **config: Any) -> Connection:
        opened = await self.command("connect", config={"server_url": server_url, **config})
        return Connection(self, opened["number"], opened["manager"])

    async def connect_synchronously(self, server_url: str, **config: Any) -> Connection:
        """Use the blocking API; each of its functions runs in a thread of the client."""
        config["server_url"] = server_url
        opened = await self.command("connect_synchronously", config=config)
        return Connection(self, opened["number"], opened["manager"])

    async def describe(self, value: Any) -> Any:
        """What the value is to a client that has not sent it anywhere."""
        return await self.command("describe", value=value)

    async def documentation(self, function: Remote) -> str | None:
        text: str | None = await self.command("documentation", function=function.number)
        return text

    async def recorded(self, recorder: Recorder, count: int) -> list[Any]:
        """Wait until a recorder was called so often, and return the arguments of each call."""
        calls: list[Any] = await self.command("recorded", recorder=recorder.name, count=count)
        return calls

    async def command(self, name: str, **arguments: Any) -> Any:
        async with asyncio.timeout(LIMIT):
            answer = await asyncio.wrap_future(self._send(name, arguments))
        if "error" in answer:
            raise RemoteError(answer["error"]["kind"], answer["error"]["text"])
        return self._from_json(answer["result"])

    def _send(self, name: str, arguments: dict[str, Any]) -> Future[dict[str, Any]]:
        number = next(self._numbers)
        answer = self._waiting[number] = Future()
        line = json.dumps({"number": number, "name": name, "arguments": _to_json(arguments)})
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return answer

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["number"])
            if waiting.set_running_or_notify_cancel():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if waiting.set_running_or_notify_cancel():
                waiting.set_exception(ConnectionError(f"The client has ended:\n{self.log()}"))

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line)

    def _from_json(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._from_json(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$type" not in value:
            return {key: self._from_json(item) for key, item in value.items()}
        kind, content = value["$type"], self._from_json(value["value"])
        return Remote(self, content) if kind == "remote" else FROM_JSON[kind](content)


def _array(description: dict[str, Any]) -> Array:
    return Array(description["dtype"], tuple(description["shape"]), description["sha256"])


FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "memoryview": lambda content: memoryview(base64.b64decode(content)),
    "array": _array,
    "tuple": tuple,
    "set": set,
    "ordered": lambda items: OrderedDict((key, item) for key, item in items),
    "error": Error,
    "other": Other,
}


def _encoded(value: bytes | memoryview) -> str:
    return base64.b64encode(value).decode()


# In this order: the first class that fits decides.
TO_JSON: list[tuple[type, str, Callable[[Any], Any]]] = [
    (Remote, "remote", lambda value: value.number),
    (Recorder, "recorder", lambda value: value.name),
    (Local, "local", lambda value: value.name),
    (bytes, "bytes", _encoded),
    (memoryview, "memoryview", _encoded),
    (File, "file", lambda value: _encoded(value.content)),
    (NewArray, "array", lambda value: {"dtype": value.dtype, "shape": list(value.shape)}),
    (Scalar, "scalar", lambda value: {"dtype": value.dtype, "number": value.number}),
    (Error, "error", lambda value: value.text),
    (Unsupported, "unsupported", lambda value: None),
    (Map, "map", lambda value: [list(item) for item in value.items]),
    (OrderedDict, "ordered", lambda value: [list(item) for item in value.items()]),
    (tuple, "tuple", list),
    (set, "set", list),
]


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    for type_, kind, plain in TO_JSON:
        if isinstance(value, type_):
            return {"$type": kind, "value": _to_json(plain(value))}
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value
