"""What processes use, as Linux tells it; elsewhere it is not known, so nothing is bounded."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Self

_PROC: Final = Path("/proc")
# The resident memory that counts; what processes share, such as their programs, does not.
_OWN_MEMORY: Final = ("RssAnon:", "RssShmem:")


class Usage(NamedTuple):
    """What some processes use together.

    memory: bytes. time: seconds of a processor since their start. runs: whether one of them uses a
    processor at the moment, or waits for one.
    """

    memory: int
    time: float
    runs: bool

    @classmethod
    def of(cls, processes: Iterable[int], proc: Path = _PROC) -> Self:
        """Measure processes; those that are not there use nothing."""
        found = [each for pid in processes if (each := _usage_of(proc / str(pid)))]
        return cls(
            sum(each.memory for each in found),
            sum(each.time for each in found),
            any(each.runs for each in found),
        )


def _usage_of(folder: Path) -> Usage | None:
    try:
        status = (folder / "status").read_text()
        fields = _fields(folder)
        runs = any(_fields(thread)[0] == "R" for thread in (folder / "task").iterdir())
    except OSError:  # the process, or a thread of it, has ended meanwhile
        return None
    lines = [line.split() for line in status.splitlines() if line.startswith(_OWN_MEMORY)]
    ticks = int(fields[11]) + int(fields[12])
    memory = sum(int(line[1]) * 1024 for line in lines)
    return Usage(memory, ticks / os.sysconf("SC_CLK_TCK"), runs)


def _fields(folder: Path) -> list[str]:
    """State, parent and so on, as proc(5) has them behind the name of the program."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
