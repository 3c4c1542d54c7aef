"""A client that sends without end is read more slowly, by a clock of the test's."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from hypha_cluster.protocol.limits import (
    LONGEST_PAUSE,
    PACE,
    PACED_BYTES,
    PACED_FRAMES,
)
from hypha_cluster.relay.sockets import Socket
from hypha_cluster.web.pace import Pace


class Reading:
    """Whether a connection is read, and for how long it is not to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self.is_paused = False
        self.spent: list[tuple[int, int]] = []
        self.too_much = 0.0  # seconds
        self.pace = Pace(cast(Socket, self), self.charge, ["user ann"], lambda: self.now)
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def call_later(delay: float, *args: Any) -> asyncio.TimerHandle:
            self.pauses.append(delay)
            return later(3_600, *args)

        monkeypatch.setattr(loop, "call_later", call_later)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def charge(self, subjects: Sequence[str], frames: int, size: int) -> float:
        assert subjects == ["user ann"]
        self.spent.append((frames, size))
        return self.too_much

    def take(self, frames: int, size: int = 1) -> None:
        for _ in range(frames):
            self.pace.count(size)


@pytest.fixture
async def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


async def test_who_sends_at_leisure_is_never_kept_waiting(reading: Reading) -> None:
    for _ in range(20):
        reading.now += PACED_FRAMES / PACE
        reading.take(PACED_FRAMES)

    assert (reading.pauses, reading.is_paused) == ([], False)


async def test_who_sends_without_end_waits_for_what_is_due(reading: Reading) -> None:
    reading.take(3 * PACED_FRAMES)  # of which the first was due, had it come in its time

    assert reading.is_paused
    assert reading.pauses == pytest.approx([PACED_FRAMES / PACE, 2 * PACED_FRAMES / PACE])


async def test_a_debt_is_forgotten_when_it_is_paid(reading: Reading) -> None:
    reading.take(3 * PACED_FRAMES)
    reading.now += 4 * PACED_FRAMES / PACE
    reading.resume()
    reading.take(PACED_FRAMES)

    assert (len(reading.pauses), reading.is_paused) == (2, False)


async def test_nothing_is_saved_up(reading: Reading) -> None:
    """Who was silent for long may not send so much the faster."""
    reading.now += 3_600
    reading.take(2 * PACED_FRAMES)

    assert reading.pauses == pytest.approx([PACED_FRAMES / PACE])


async def test_what_comes_is_told_in_turns_of_frames_and_of_bytes(reading: Reading) -> None:
    reading.now += 1.0
    reading.take(PACED_FRAMES)
    reading.now += 1.0
    reading.take(2, PACED_BYTES)

    assert reading.spent == [(PACED_FRAMES, PACED_FRAMES), (2, 2 * PACED_BYTES)]


async def test_whose_user_has_sent_too_much_waits_but_not_without_end(reading: Reading) -> None:
    reading.now += 1.0
    reading.too_much = 2.0
    reading.take(PACED_FRAMES)
    reading.now += 1.0
    reading.too_much = 1e6
    reading.take(PACED_FRAMES)

    assert reading.is_paused
    assert reading.pauses == [2.0, LONGEST_PAUSE]
