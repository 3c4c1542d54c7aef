"""What processes cost, as the operating system accounts for it. Standard library only."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")


class Cost(NamedTuple):
    """CPU seconds of the gateways, of Redis and of the clients, and the seconds that passed."""

    server: float = 0.0
    redis: float = 0.0
    client: float = 0.0
    wall: float = 0.0

    def plus(self, other: "Cost") -> "Cost":
        return Cost(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def minus(self, other: "Cost") -> "Cost":
        return Cost(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads of these processes, to the nanosecond."""
    return sum(time.clock_gettime(_cpu_clock(pid)) for pid in pids)


def _cpu_clock(pid: int) -> int:
    """What clock_getcpuclockid(3) returns on Linux; /proc has it in steps of 10 ms only."""
    return ~pid << 3 | 2


def resident_bytes(pids: Iterable[int]) -> int:
    """Physical memory that these processes hold."""
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(pages) * PAGE


def processor_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process with all its threads on some cores; without any, leave it where it is."""
    if cores:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def server_and_client_cores() -> tuple[set[int], set[int]]:
    """Cores for the servers, and for the load; both empty where there is only one core."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else (set(), set())
