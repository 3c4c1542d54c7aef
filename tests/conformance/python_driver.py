"""A client under remote control: runs inside an environment with one release of imjoy-rpc.

Reads one command a line, as JSON, and answers each with one line. Values that JSON does not have
travel as objects with a `$type`; functions stay here and travel as numbers.
"""

import asyncio
import base64
import hashlib
import inspect
import io
import json
import os
import sys
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TextIO

import numpy
from imjoy_rpc.hypha import connect_to_server

Json = Any
Function = Callable[..., Any]


class Driver:
    """The connections of this process, and the functions that the tests hold by number."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._connections: list[Any] = []
        self._functions: list[Function] = []
        self._recordings: dict[str, list[Any]] = {}
        self._recorded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, line: str) -> None:
        task = asyncio.ensure_future(self._answer(json.loads(line)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, command: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"number": command["number"]}
        try:
            arguments = self._build(command["arguments"])
            answer["result"] = self._describe(await getattr(self, command["name"])(**arguments))
        except Exception as error:  # noqa: BLE001  (whatever the client raises is what we report)
            answer["error"] = {"kind": type(error).__name__, "text": str(error)}
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    # Commands

    async def connect(self, config: dict[str, Any]) -> dict[str, Any]:
        manager = await connect_to_server(config)
        self._connections.append(manager)
        return {"number": len(self._connections) - 1, "manager": dict(manager)}

    async def connect_synchronously(self, config: dict[str, Any]) -> dict[str, Any]:
        from imjoy_rpc.hypha.sync import (
            connect_to_server as connect_synchronously,
        )

        server = await asyncio.to_thread(connect_synchronously, config)
        self._connections.append(server)
        own = ("loop", "thread", "server", "executor")
        members = {name: value for name, value in vars(server).items() if name not in own}
        return {"number": len(self._connections) - 1, "manager": _to_threads(members)}

    async def rpc(self, connection: int, method: str, arguments: list[Any]) -> Any:
        result = getattr(self._connections[connection].rpc, method)(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def reopen(self, connection: int, times: int) -> None:
        transport = self._connections[connection].rpc._connection
        await asyncio.gather(*(transport.open() for _ in range(times)))

    async def call(self, function: int, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        result = self._functions[function](*arguments, **keywords)
        return await result if inspect.isawaitable(result) else result

    async def documentation(self, function: int) -> str | None:
        return self._functions[function].__doc__

    async def describe(self, value: Any) -> Any:
        return value

    async def recorded(self, recorder: str, count: int) -> list[Any]:
        calls = self._recordings.setdefault(recorder, [])
        while len(calls) < count:
            self._recorded.clear()
            await self._recorded.wait()
        return calls

    def _recorder(self, name: str) -> Function:
        # Without annotations: 0.5.38 to 0.5.47 cannot read them behind a star.
        def record(*values):  # type: ignore[no-untyped-def]
            self._recordings.setdefault(name, []).append(list(values))
            self._recorded.set()
            return values[-1] if values else None

        return record

    # Values

    def _build(self, value: Json) -> Any:
        if isinstance(value, list):
            return [self._build(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$type" not in value:
            return {key: self._build(item) for key, item in value.items()}
        kind, content = value["$type"], value["value"]
        if kind == "remote":
            return self._functions[content]
        if kind == "recorder":
            return self._recorder(content)
        if kind in BUILDERS_OF_CONTAINERS:
            return BUILDERS_OF_CONTAINERS[kind](self._build(content))
        return BUILDERS[kind](content)

    def _describe(self, value: Any) -> Json:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, list):
            return [self._describe(item) for item in value]
        if callable(value):
            self._functions.append(value)
            return _tagged("remote", len(self._functions) - 1)
        for kind, type_, plain in DESCRIBERS:
            if isinstance(value, type_):
                return _tagged(kind, self._describe(plain(value)))
        if isinstance(value, dict):
            return {key: self._describe(item) for key, item in value.items()}
        return _tagged("other", type(value).__name__)


def _tagged(kind: str, value: Json) -> Json:
    return {"$type": kind, "value": value}


def _to_threads(value: Any) -> Any:
    """Let the blocking functions of the synchronous client run where they may block."""
    if isinstance(value, dict):
        return {key: _to_threads(item) for key, item in value.items()}
    if not isinstance(value, types.FunctionType):
        return value

    async def in_thread(*arguments: Any, **keywords: Any) -> Any:
        return _to_threads(await asyncio.to_thread(value, *arguments, **keywords))

    return in_thread


def _array(description: dict[str, Any]) -> Any:
    size = 1
    for extent in description["shape"]:
        size *= extent
    content = numpy.arange(size) % 251
    return content.astype(description["dtype"]).reshape(description["shape"])


def _array_description(array: Any) -> dict[str, Any]:
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }


def _bytes_description(value: bytes) -> str:
    return base64.b64encode(value).decode()


BUILDERS: dict[str, Function] = {
    "bytes": base64.b64decode,
    "memoryview": lambda content: memoryview(base64.b64decode(content)),
    "file": lambda content: io.BytesIO(base64.b64decode(content)),
    "array": _array,
    "scalar": lambda content: numpy.dtype(content["dtype"]).type(content["number"]),
    "error": ValueError,
    "local": lambda name: _fresh(LOCAL[name]),
    "unsupported": lambda _: object(),
}
BUILDERS_OF_CONTAINERS: dict[str, Function] = {
    "tuple": tuple,
    "set": set,
    "map": dict,
    "ordered": OrderedDict,
}
DESCRIBERS: list[tuple[str, Any, Function]] = [
    ("bytes", bytes, _bytes_description),
    ("memoryview", memoryview, _bytes_description),
    ("array", (numpy.ndarray, numpy.generic), _array_description),
    ("tuple", tuple, list),
    ("set", set, sorted),
    ("ordered", OrderedDict, lambda value: [list(item) for item in value.items()]),
    ("error", Exception, str),
]


# The functions of the services that the tests register. Users' functions, in users' style.


def hello(name: Any = "world") -> Any:
    """Greet somebody."""
    return f"Hello {name}"


def add(a: Any, b: Any = 2) -> Any:
    return a + b


async def multiply(a: Any, b: Any = 2) -> Any:
    await asyncio.sleep(0)
    return a * b


def echo(value: Any) -> Any:
    return value


def keywords_of(*arguments: Any, **keywords: Any) -> Any:
    return {"arguments": list(arguments), "keywords": keywords}


def awkward(options: Any = {"x": [1, "a:b"]}, *, flag: Any = True) -> Any:  # noqa: B006
    return {"options": options, "flag": flag}


def fail(message: str) -> None:
    raise ValueError(message)


async def fail_later(message: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(message)


class Silent(Exception):
    """Has nothing to say but its name."""


def be_silent(x: Any = 0) -> None:
    raise Silent


async def be_silent_later(x: Any = 0) -> None:
    await asyncio.sleep(0)
    raise Silent


def be_positive(x: Any) -> Any:
    assert x > 0
    return x


def misuse(x: Any = 0) -> Any:
    return hello(nonsense=x)  # type: ignore[call-arg]  # what a mistake of its own looks like


def who_calls(context: Any = None) -> Any:
    return dict(context)


def greet_caller(greeting: str, context: Any = None) -> Any:
    return f"{greeting} {context['user']['id']}"


async def apply(callback: Function, value: Any) -> Any:
    return await callback(value)


async def count_to(limit: int, progress: Function) -> str:
    for step in range(limit):
        await progress(step)
    return "done"


def new_counter() -> Any:
    count = 0

    def increment(by: int = 1) -> int:
        nonlocal count
        count += by
        return count

    return {"increment": increment}


async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


async def work_for_ever(started: Function) -> None:
    await started()
    await asyncio.Event().wait()


def new_array(dtype: str, shape: list[int]) -> Any:
    return _array({"dtype": dtype, "shape": shape})


async def read_file(file: Any) -> list[bytes]:
    first = await file.readline()
    return [first, await file.read()]


HELD: dict[str, Any] = {}


def hold(name: str, interface: Any) -> None:
    HELD[name] = interface


async def notify_held(name: str, value: Any) -> Any:
    return await HELD[name]["notify"](value)


def _fresh(function: Function) -> Function:
    """Copy a function, as every service has functions of its own."""
    assert isinstance(function, types.FunctionType)
    copy = types.FunctionType(
        function.__code__, globals(), function.__name__, function.__defaults__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    return copy


LOCAL: dict[str, Function] = {
    function.__name__: function
    for function in (
        hello,
        add,
        multiply,
        echo,
        keywords_of,
        awkward,
        fail,
        fail_later,
        be_silent,
        be_silent_later,
        be_positive,
        misuse,
        who_calls,
        greet_caller,
        apply,
        count_to,
        new_counter,
        sleep,
        work_for_ever,
        new_array,
        read_file,
        hold,
        notify_held,
    )
}


async def _run(answers: TextIO) -> None:
    driver = Driver(answers)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(driver.take, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()
    os._exit(0)  # whatever the client still has in flight is nobody's business any more


def main() -> None:
    # The client logs to standard output: keep that for the answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(_run(answers))


if __name__ == "__main__":
    main()
