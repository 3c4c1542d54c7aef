"""The program of a function as a process: what it reports, and that nothing of it is left."""

from pathlib import Path

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.functions.process import Process


async def test_why_a_function_cannot_run_is_told_in_one_line(tmp_path: Path) -> None:
    process = await Process.start("", {"function": f"{tmp_path}/missing.py:offer"})
    try:
        with pytest.raises(
            StartupError, match=r"^startup_functions: there is no file .*missing.py$"
        ):
            await process.returned()
    finally:
        await process.end()

    assert await process.ended() == -9


async def test_a_program_that_ends_without_a_word_is_told(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os\nos._exit(3)\n")
    process = await Process.start("", {"function": f"{tmp_path}/ends.py:offer"})

    with pytest.raises(StartupError, match="it gave no reason"):
        await process.returned()
    assert await process.ended() == 3
    await process.end()


async def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(StartupError, match="functions_python: /no/python: No such file"):
        await Process.start("/no/python", {})
