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
from pathlib import Path
from typing import Any, NoReturn


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
    """Run the function, tell the parent, and wait: it is the parent who ends this program."""
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
    server = await _connect(orders)
    try:
        await function(server)
    except Exception as error:  # noqa: BLE001  # it may be any, and is told to the parent
        traceback.print_exc()
        raise CannotRun(f"{orders['function']} raised {type(error).__name__}: {error}") from None


async def _connect(orders: Any) -> Any:
    try:
        client = importlib.import_module("imjoy_rpc.hypha")
    except ImportError as error:
        raise CannotRun(
            f"{sys.executable} cannot import imjoy-rpc ({error}); install "
            "hypha-cluster[functions], or name a Python that has it by --functions-python"
        ) from None
    server = await client.connect_to_server(orders["connection"])
    server.config.update(orders["config"])
    return server


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
    """Without a farewell: so the hub keeps the place, and the next one of this name takes it."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)  # and with it what the function has started
    raise AssertionError("nobody survives this")


if __name__ == "__main__":
    main()
