"""Does one job, read as JSON from standard input, and writes what it measured as JSON."""

import asyncio
import importlib
import json
import resource
import sys
from collections.abc import Awaitable, Callable

from benchmarks.load.job import Job, Measurement

Scenario = Callable[[Job], Awaitable[Measurement]]


def find(name: str) -> Scenario:
    """`raw.echo` is the function `echo` of benchmarks.load.raw."""
    module, _, function = name.partition(".")
    scenario: Scenario = getattr(importlib.import_module(f"benchmarks.load.{module}"), function)
    return scenario


def main() -> None:
    allow_many_connections()
    job = Job(**json.load(sys.stdin))
    answers, sys.stdout = sys.stdout, sys.stderr  # clients print
    measured = _run(find(job.scenario), job)
    json.dump(measured.to_json(), answers)


def allow_many_connections() -> None:
    """As many open files as the system lets us have; the usual 1024 are too few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(scenario: Scenario, job: Job) -> Measurement:
    async def run() -> Measurement:
        return await scenario(job)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
