"""What a node counts."""

import pytest

from hypha_cluster.metrics import BOUNDS, Histogram


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0, BOUNDS[0]), (0.003, 0.005), (0.005, 0.005), (0.0051, 0.01)]
)
def test_a_duration_is_in_the_bucket_up_to_its_bound_and_all_above(
    seconds: float, bound: float
) -> None:
    histogram = Histogram()
    histogram.observe(seconds)

    buckets = dict(histogram.buckets())

    assert {float(le) for le, count in buckets.items() if count} == {
        *(each for each in BOUNDS if each >= bound),
        float("inf"),
    }


def test_what_takes_longer_than_all_bounds_is_counted_too() -> None:
    histogram = Histogram()
    histogram.observe(BOUNDS[-1] + 1)

    assert [le for le, count in histogram.buckets() if count] == ["+Inf"]
