"""The program in which one startup function runs, as a client of the hub.

Nothing of the hub is imported: it runs in whichever Python has imjoy-rpc. Its parent writes one
line to standard input, the orders as JSON, and the end of the input is the end of the parent. The
program writes one line to standard output, as JSON: `null` when the function has returned, or why
it cannot be run.
"""

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

EARLY_CALLS = 10_000  # as many as a mailbox has; more are rejected


class CannotRun(Exception):
    """Why a function cannot be run, in one line."""


def main() -> None:
    """Run the function of the orders, and stay until the parent ends."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the function prints is for people
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[0] = os.getcwd()
    asyncio.run(_stay(json.loads(line), report))


async def _stay(orders: Any, report: Any) -> None:
    """Run the function, tell the parent, and wait: the parent ends this program."""
    reason = None
    try:
        await _run(orders)
    except CannotRun as error:
        reason = " ".join(str(error).split())
    report.write(json.dumps(reason) + "\n")
    report.flush()
    await asyncio.Event().wait()


async def _run(orders: Any) -> None:
    function = load(orders["function"])
    early = EarlyCalls()
    server = await _connect(orders, early)
    try:
        await function(server)
        early.let_go()
    except Exception as error:  # noqa: BLE001  # it may be any, and is told to the parent
        traceback.print_exc()
        raise CannotRun(f"{orders['function']} raised {type(error).__name__}: {error}") from None


async def _connect(orders: Any, early: "EarlyCalls") -> Any:
    try:
        client = importlib.import_module("imjoy_rpc.hypha")
        early.watch(importlib.import_module("imjoy_rpc.hypha.rpc").RPC)
    except ImportError as error:
        raise CannotRun(
            f"{sys.executable} cannot import imjoy-rpc ({error}); install "
            "hypha-cluster[functions], or name a Python that has it by --functions-python"
        ) from None
    server = await client.connect_to_server(orders["connection"])
    server.config.update(orders["config"])
    return server


class EarlyCalls:
    """Calls of services that the function has not registered yet; they wait until it returns.

    When a process takes the place of one that has died, callers see what that one has registered,
    and published clients reject a call of a service that they do not have.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._is_over = False

    def watch(self, rpc: Any) -> None:
        """Look at each call that comes from now on for instances of the client's class RPC."""
        handle = rpc._handle_method

        def take(client: Any, message: Any) -> None:
            if self._waits(client, message):
                self._waiting.append(lambda: handle(client, message))
            else:
                handle(client, message)

        rpc._handle_method = take

    def let_go(self) -> None:
        self._is_over = True
        for call in self._waiting:
            call()
        self._waiting.clear()

    def _waits(self, client: Any, message: Any) -> bool:
        if self._is_over or len(self._waiting) >= EARLY_CALLS:
            return False
        wanted = _service_of(message.get("method", ""), message.get("args"))
        return wanted is not None and wanted not in client._services


def _service_of(method: str, args: Any) -> Any:
    """The service that a call is about; None if it is about none."""
    kind, _, rest = method.partition(".")
    if kind != "services":
        return None
    service, _, function = rest.partition(".")
    if (service, function) == ("built-in", "get_service") and args:
        return args[0] if isinstance(args[0], str) else None
    return service


def load(name: str) -> Any:
    """The function that `module:function` names; the module may be a file, `path.py`."""
    module, _, wanted = name.rpartition(":")
    if not module or not wanted:
        raise CannotRun(f"{name} must be like module:function or path.py:function")
    try:
        function = getattr(_import(module), wanted, None)
    except CannotRun:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the module does is told to the parent
        traceback.print_exc()
        raise CannotRun(f"{module} cannot be loaded: {type(error).__name__}: {error}") from None
    if function is None:
        raise CannotRun(f"{module} has no function {wanted}")
    if not inspect.iscoroutinefunction(function):
        raise CannotRun(f"{name} must be an async function, with the server as its argument")
    return function


def _import(module: str) -> Any:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    if not Path(module).is_file():
        raise CannotRun(f"there is no file {module}")
    spec = importlib.util.spec_from_file_location(Path(module).stem, module)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # so that what it defines can be pickled
    spec.loader.exec_module(loaded)
    return loaded


def _end_with_parent() -> NoReturn:
    """End without saying so to the hub: it keeps the place, and the next program takes it."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)  # and with it what the function has started
    raise AssertionError("nobody survives this")


if __name__ == "__main__":
    main()
