"""Runs cases: each in a load process of its own, all subjects in turn, several times."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accounting import pin
from benchmarks.cases import CPU, Case
from benchmarks.deployments import Deployment, NotStarted, running
from benchmarks.load.job import Job
from tests.client_environments import environment

CLIENT = "imjoy-rpc-0.5.59"
ROOT = Path(__file__).parent.parent
LONGEST = 1_800.0  # seconds for one run of one case


@dataclass(frozen=True)
class Plan:
    """How many runs, and how long each is, in seconds."""

    runs: int = 3
    seconds: float = 5.0
    warm_up: float = 1.0
    server_cores: set[int] = field(default_factory=set)
    client_cores: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Result:
    """What the runs of a case showed for one subject on so many gateways."""

    case: str
    subject: str
    nodes: int
    runs: list[dict[str, float]]
    error: str = ""

    @property
    def median(self) -> dict[str, float]:
        """Of each figure by itself."""
        keys = {key: None for run in self.runs for key in run}
        return {k: statistics.median(run[k] for run in self.runs if k in run) for k in keys}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Result":
        return cls(*(kept[field.name] for field in fields(cls)))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median}


def compare(case: Case, nodes: int, subjects: Iterable[str], plan: Plan) -> list[Result]:
    """Run a case at each subject in turn, on so many gateways; a subject that fails is out."""
    runs: dict[str, list[dict[str, float]]] = {subject: [] for subject in subjects}
    errors: dict[str, str] = {}
    # What an idle connection takes shows only where there were none before.
    rounds = [1] * plan.runs if case.is_idle() else [plan.runs]
    for count in rounds:
        with ExitStack() as stack:
            left = [subject for subject in runs if subject not in errors]
            deployments = _start(left, nodes, plan, stack, errors)
            for subject in list(deployments) * count:
                if subject not in errors:
                    try:
                        runs[subject].append(run_once(case, deployments[subject], plan))
                    except LoadFailed as error:
                        errors[subject] = str(error)
    return [
        Result(case.name, subject, nodes, found, errors.get(subject, ""))
        for subject, found in runs.items()
    ]


def _start(
    subjects: Iterable[str], nodes: int, plan: Plan, stack: ExitStack, errors: dict[str, str]
) -> dict[str, Deployment]:
    """Start servers side by side; note in `errors` which did not."""
    started = {}
    for subject in subjects:
        try:
            started[subject] = stack.enter_context(running(subject, nodes, plan.server_cores))
        except NotStarted as error:
            errors[subject] = str(error)
    return started


class LoadFailed(Exception):
    """A load process did not do its work; the text has the end of what it wrote."""


def run_once(case: Case, deployment: Deployment, plan: Plan) -> dict[str, float]:
    job = Job(
        scenario=case.scenario,
        options=dict(case.options),
        urls=deployment.urls,
        server_pids=deployment.server_pids,
        redis_pids=deployment.redis_pids,
        seconds=plan.seconds,
        warm_up=plan.warm_up,
    )
    python = environment(CLIENT).make() if case.by_real_client() else Path(sys.executable)
    figures = _load(python, job, plan.client_cores)
    figures[CPU] = figures["server_ms"] + figures["redis_ms"]
    return figures


def _load(python: Path, job: Job, cores: set[int]) -> dict[str, float]:
    command = [str(python), "-m", "benchmarks.load"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
            preexec_fn=partial(_pin_self, cores),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"{job.scenario} did not end within {LONGEST:.0f} s") from None
    if done.returncode:
        raise LoadFailed(done.stderr[-2_000:])
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _pin_self(cores: set[int]) -> None:
    pin(os.getpid(), cores)
