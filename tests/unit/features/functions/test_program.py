"""Which function a name means, and what is wrong with one that means none."""

from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.features.functions.program import (
    EARLY_CALLS,
    CannotRun,
    EarlyCalls,
    load,
)


@pytest.fixture
def module(tmp_path: Path) -> str:
    path = tmp_path / "lab.py"
    path.write_text("async def offer(server): return server\n\ndef plain(server): pass\n")
    return str(path)


async def test_a_function_of_a_file_is_loaded(module: str) -> None:
    assert await load(f"{module}:offer")("hub") == "hub"


def test_a_function_of_a_module_is_loaded() -> None:
    assert load("asyncio:sleep").__name__ == "sleep"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{}", "must be like module:function"),
        ("{}:", "must be like module:function"),
        ("{}:missing", "has no function missing"),
        ("{}:plain", "must be an async function"),
        ("{}.py:offer", "there is no file"),
        ("no.such.module:offer", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_what_is_no_function_is_told(module: str, name: str, reason: str) -> None:
    with pytest.raises(CannotRun, match=reason):
        load(name.format(module))


def test_a_module_that_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")

    with pytest.raises(CannotRun, match="cannot be loaded: ZeroDivisionError"):
        load(f"{tmp_path}/broken.py:offer")
    assert "1 / 0" in capsys.readouterr().err


# Calls that come before the function has returned.


def rpc_class() -> Any:
    """The class of the published client, as far as calls concern it."""

    class Rpc:
        def __init__(self) -> None:
            self._services: dict[str, Any] = {"built-in": {}}
            self.handled: list[str] = []
            self.take = self._handle_method  # bound when it is made, as theirs is

        def _handle_method(self, message: Any) -> None:
            self.handled.append(message["method"])

    return Rpc


@pytest.mark.parametrize(
    "call",
    [
        {"method": "services.tool.run", "args": [1]},
        {"method": "services.built-in.get_service", "args": ["tool"]},
    ],
)
def test_calls_of_what_is_not_registered_yet_wait_until_the_function_has_returned(
    call: dict[str, Any],
) -> None:
    rpc, early = rpc_class(), EarlyCalls()
    early.watch(rpc)
    client = rpc()

    client.take(call)
    assert client.handled == []
    early.let_go()
    client.take({"method": "services.other.run"})

    assert client.handled == [call["method"], "services.other.run"]


@pytest.mark.parametrize(
    "call",
    [
        {"method": "services.tool.run", "args": [1]},
        {"method": "services.built-in.get_service", "args": ["tool"]},
        {"method": "services.built-in.get_service", "args": [5]},
        {"method": "services.built-in.get_service"},
        {"method": "services.built-in.ping", "args": ["ping"]},
        {"method": "session.resolve", "args": [1]},
        {},
    ],
)
def test_other_calls_do_not_wait(call: dict[str, Any]) -> None:
    rpc, early = rpc_class(), EarlyCalls()
    early.watch(rpc)
    client = rpc()
    client._services["tool"] = {}

    client.take({"method": "", **call})

    assert client.handled == [call.get("method", "")]


def test_so_many_calls_wait_and_no_more() -> None:
    rpc, early = rpc_class(), EarlyCalls()
    early.watch(rpc)
    client = rpc()

    for _ in range(EARLY_CALLS + 1):
        client.take({"method": "services.tool.run"})

    assert len(client.handled) == 1
