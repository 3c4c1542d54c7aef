import pytest

from hypha_cluster.features.launcher.running.bounds import MEASURING, Bounds, OverLimit, Watch
from hypha_cluster.features.launcher.running.usage import Usage

MIB = 1_048_576
BOUNDS = Bounds(memory=100, time=60.0, life=3_600.0, drain=0.0)


def test_what_is_used_within_the_bounds_is_nobodys_business() -> None:
    watch = Watch(BOUNDS, born=1_000.0)

    for look in range(100):  # nearly all of a processor, with a pause now and then
        watch.check(Usage(100 * MIB, 5.0 * look, look % 10 > 0), 1_000.0 + MEASURING * look)


def test_who_uses_too_much_memory_is_over() -> None:
    with pytest.raises(OverLimit, match="used 101 MiB of memory, and may use 100"):
        Watch(BOUNDS, born=0.0).check(Usage(101 * MIB, 0.0, False), 10.0)


@pytest.mark.parametrize("share", [1.0, 0.2])  # of a processor, on a machine with more to do
def test_who_uses_a_processor_without_a_pause_is_over(share: float) -> None:
    watch = Watch(BOUNDS, born=0.0)
    watch.check(Usage(0, 0.0, True), 10.0)
    for look in range(1, round(60 / MEASURING / share) + 1):
        watch.check(Usage(0, share * MEASURING * look, True), 10.0 + MEASURING * look)

    with pytest.raises(OverLimit, match="used a processor for 60 s without a pause"):
        watch.check(Usage(0, 61.0, True), 400.0)


def test_who_is_there_for_too_long_is_over() -> None:
    watch = Watch(BOUNDS, born=1_000.0)
    watch.check(Usage(0, 0.0, False), 4_600.0)

    with pytest.raises(OverLimit, match="was there for 3600 s"):
        watch.check(Usage(0, 0.0, False), 4_600.1)


def test_nothing_bounds_time_where_it_is_nought() -> None:
    watch = Watch(BOUNDS._replace(time=0.0, life=0.0), born=0.0)

    for look in range(1_000):
        watch.check(Usage(0, MEASURING * look, True), 1e9 + MEASURING * look)
