"""Which function a name means, and what is wrong with one that means none."""

from pathlib import Path

import pytest

from hypha_cluster.features.functions.program import CannotRun, load


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
