"""Frames that come twice from a Redis Cluster."""

import msgpack

from hypha_cluster.relay.recent import RecentFrames


def frame(number: int, **envelope: str) -> bytes:
    packed: bytes = msgpack.packb({"type": "method", **envelope})
    return packed + bytes([number])


def test_a_call_that_comes_twice_is_a_repetition() -> None:
    recent = RecentFrames()

    assert not recent.repeats(frame(1, session="one"))
    assert not recent.repeats(frame(1, session="two"))
    assert recent.repeats(frame(1, session="one"))


def test_what_nobody_waits_for_may_be_said_twice() -> None:
    recent = RecentFrames()

    assert not recent.repeats(frame(1))
    assert not recent.repeats(frame(1))
    assert frame(1) in recent
    assert frame(2) not in recent


def test_only_the_last_ones_are_remembered() -> None:
    recent = RecentFrames(many=3)

    for number in range(5):
        recent.repeats(frame(number))

    assert [frame(number) in recent for number in range(5)] == [False, False, True, True, True]
