"""What changes is told at once, and what changes again right after it is told once."""

from collections.abc import Callable

import pytest

from hypha_cluster.relay.paced import Paced


class Pauses:
    """The pauses that have begun; they end when the test says so."""

    def __init__(self) -> None:
        self._ends: list[tuple[Callable[..., None], str]] = []

    def begin(self, seconds: float, end: Callable[..., None], topic: str) -> None:
        self._ends.append((end, topic))

    def end(self) -> None:
        ends, self._ends = self._ends, []
        for end, topic in ends:
            end(topic)

    def __len__(self) -> int:
        return len(self._ends)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def paced(told: list[str], pauses: Pauses) -> Paced:
    return Paced(told.append, pauses.begin)


def test_a_change_is_told_at_once(paced: Paced, told: list[str]) -> None:
    paced("ann")

    assert told == ["ann"]


def test_changes_within_a_pause_are_told_once_at_its_end(
    paced: Paced, told: list[str], pauses: Pauses
) -> None:
    for _ in range(100):
        paced("ann")
    told_at_once = list(told)
    pauses.end()

    assert told_at_once == ["ann"]
    assert told == ["ann", "ann"]


def test_the_pause_of_one_topic_delays_no_other(paced: Paced, told: list[str]) -> None:
    paced("ann")
    paced("bob")

    assert told == ["ann", "bob"]


def test_nothing_is_kept_of_what_changes_no_more(
    paced: Paced, told: list[str], pauses: Pauses
) -> None:
    paced("ann")
    paced("ann")
    pauses.end()
    pauses.end()
    kept = len(pauses)
    paced("ann")

    assert kept == 0
    assert told == ["ann", "ann", "ann"]
