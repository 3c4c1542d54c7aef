"""Rates that are reckoned from two readings of a gateway's metrics."""

import pytest

from hypha_cluster.commands.top import Reading, quantile, rates, reading_of

METRICS = """\
# HELP hypha_frames_total Frames.
hypha_frames_total{outcome="here"} 10.0
hypha_frames_total{outcome="sent"} 5.0
process_resident_memory_bytes 1.048576e+06
hypha_call_duration_seconds_bucket{kind="rpc",le="0.1"} 3.0
hypha_call_duration_seconds_bucket{kind="http",le="0.1"} 1.0
hypha_call_duration_seconds_bucket{kind="rpc",le="+Inf"} 4.0
hypha_call_duration_seconds_count{kind="rpc"} 4.0
"""


def test_samples_of_a_metric_are_added_up() -> None:
    reading = reading_of(METRICS)

    assert reading.sums["hypha_frames_total"] == 15
    assert reading.sums["process_resident_memory_bytes"] == 1 << 20
    assert reading.calls == {0.1: 4, float("inf"): 4}


def test_rates_are_for_each_second() -> None:
    before = Reading(10.0, {"hypha_frames_total": 10.0, "process_cpu_seconds_total": 1.0}, {})
    now = Reading(12.0, {"hypha_frames_total": 50.0, "process_cpu_seconds_total": 2.0}, {0.1: 5})

    found = rates(before, now)

    assert found["frames_per_second"] == 20
    assert found["cpu"] == 0.5
    assert found["p50_seconds"] == 0.1


@pytest.mark.parametrize(
    ("part", "within"), [(0.5, 0.1), (0.9, 0.1), (0.99, 1.0), (1.0, float("inf"))]
)
def test_a_quantile_is_the_end_of_its_bucket(part: float, within: float) -> None:
    assert quantile({0.1: 90, 1.0: 99, float("inf"): 100}, part) == within


def test_without_calls_there_is_no_quantile() -> None:
    assert quantile({0.1: 0, float("inf"): 0}, 0.5) is None
    assert quantile({}, 0.5) is None
