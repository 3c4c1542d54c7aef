import asyncio
import os
import sys
from pathlib import Path

import pytest

from hypha_cluster.features.launcher.running.usage import Usage


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone says it")
async def test_linux_says_what_a_process_uses() -> None:
    program = "import sys; kept = bytearray(50_000_000); print(len(kept), flush=True); input()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    await process.stdout.readline()
    async with asyncio.timeout(30):
        while (used := Usage.of({process.pid, 2**22 + 1})).runs:  # noqa: ASYNC110  # until it waits
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()

    assert 50_000_000 < used.memory < 150_000_000
    assert used.time > 0
    assert Usage.of({process.pid}) == Usage(0, 0.0, False)
    assert Usage.of({os.getpid()}).runs


def test_others_say_nothing(tmp_path: Path) -> None:
    assert Usage.of({1, 2}, tmp_path) == Usage(0, 0.0, False)
