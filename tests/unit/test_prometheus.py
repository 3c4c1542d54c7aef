"""What Prometheus gets to see."""

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import hypha_cluster
from hypha_cluster.metrics import (
    EVENTS,
    ROUTES,
    Counts,
    Histogram,
    Reading,
    RedisMeter,
    redis_readings,
)
from hypha_cluster.prometheus import JOBS, LIMITS, METRICS, REASONS, node_registry


def readings(counts: Counts, **others: Reading) -> dict[str, Reading]:
    """All that there are; those that are not given are 0."""
    nothing: dict[str, Reading] = {
        about.name: Histogram if about.kind == "histogram" else dict if about.label else float
        for about in METRICS
    }
    return {**nothing, **counts.readings(), **others}


def samples(given: dict[str, Reading]) -> dict[tuple[str, tuple[str, ...]], float]:
    text = generate_latest(node_registry(given)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_was_counted_is_shown() -> None:
    counts = Counts(frames_local=3, resumed=2, rejects=1)
    counts.refusals["InvalidToken"] += 4
    counts.calls.observe(0.2)
    meter = RedisMeter(commands=7, batches=5)

    shown = samples(readings(counts, **redis_readings(store=meter), info=lambda: {"1.0": 1}))

    assert shown["hypha_frames_total", ("local",)] == 3
    assert shown["hypha_clients_total", ("resumed",)] == 2
    assert shown["hypha_rejects_total", ()] == 1
    assert shown["hypha_refused_admissions_total", ("InvalidToken",)] == 4
    assert shown["hypha_call_duration_seconds_count", ()] == 1
    assert shown["hypha_call_duration_seconds_bucket", ("0.25",)] == 1
    assert shown["hypha_redis_commands_total", ("store",)] == 7
    assert shown["hypha_redis_batches_total", ("store",)] == 5
    assert shown["hypha_info", ("1.0",)] == 1


def test_what_has_not_happened_yet_is_shown_as_0() -> None:
    shown = samples(readings(Counts()))

    for name, values in (
        ("hypha_frames_total", ROUTES),
        ("hypha_clients_total", EVENTS),
        ("hypha_refused_admissions_total", REASONS),
    ):
        assert {value: shown[name, (value,)] for value in values} == dict.fromkeys(values, 0)


def test_a_label_never_names_a_workspace_a_client_or_a_user() -> None:
    labels = {about.label for about in METRICS} - {""}

    known = {"version", "event", "reason", "route", "status", "operation", "connection", "task"}
    known.add("kind")  # of a message between gateways
    known.add("outcome")  # of a frame that was published, or posted
    known |= {"state", "use", "probe"}  # of instances of apps, slots of runners
    known.add("limit")  # of users and addresses
    assert labels == known


def test_the_jobs_that_are_named_are_those_that_there_are() -> None:
    package = Path(hypha_cluster.__file__).parent
    gateways = [
        each for each in package.rglob("*.py") if each.parent.name not in ("serving", "running")
    ]
    kept = {
        name
        for module in gateways
        for name in re.findall(
            r"keep(?:_doing)?\(\s*\"([^\"]+)\"", module.read_text(encoding="utf-8")
        )
    }

    assert kept == set(JOBS)


def test_the_limits_that_are_named_are_those_that_there_are() -> None:
    package = Path(hypha_cluster.__file__).parent
    counted = {
        name
        for module in ("hub/quotas.py", "wiring.py")
        for name in re.findall(
            r"(?:_rate|Rate|Tally)\((?:redis, keys, )?\"(\w+)\"",
            (package / module).read_text(encoding="utf-8"),
        )
    }

    assert counted == set(LIMITS)
