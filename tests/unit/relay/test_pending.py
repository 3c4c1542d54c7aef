"""Calls that wait: found by their target, forgotten with their caller."""

import time

import pytest

from hypha_cluster.metrics import Histogram
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack
from hypha_cluster.protocol.limits import OWED_ANSWERS, PENDING_CALLS
from hypha_cluster.relay.pending import OwedAnswers, PendingCall, PendingCalls


def call(caller: str = "ws/caller", session: str = "s") -> PendingCall:
    return PendingCall(caller, session, f"{session}.reject", since=0.0)


def test_an_answer_settles_a_call_once() -> None:
    calls = PendingCalls(Histogram())
    calls.add("ws/target", call())

    assert calls.is_waiting("ws/target", "ws/caller", "s")
    assert calls.settle("ws/target", "ws/caller", "s")
    assert not calls.settle("ws/target", "ws/caller", "s")
    assert len(calls) == 0


def test_an_answer_from_somebody_else_settles_nothing() -> None:
    calls = PendingCalls(Histogram())
    calls.add("ws/target", call())

    assert not calls.settle("ws/other", "ws/caller", "s")
    assert calls.is_waiting("ws/target", "ws/caller", "s")


def test_a_target_that_leaves_ends_the_calls_to_it_and_no_others() -> None:
    calls = PendingCalls(Histogram())
    first, second, other = call("ws/a"), call("ws/b"), call("ws/a", "t")
    calls.add("ws/target", first)
    calls.add("ws/target", second)
    calls.add("ws/other", other)

    assert set(calls.take_target("ws/target")) == {first, second}
    assert list(calls.take_target("ws/target")) == []
    assert calls.is_waiting("ws/other", "ws/a", "t")


def test_a_caller_that_goes_waits_for_nothing() -> None:
    calls = PendingCalls(Histogram())
    calls.add("ws/target", call("ws/a"))
    calls.add("ws/target", call("ws/b"))

    assert calls.take_caller("ws/a") == [("ws/target", call("ws/a"))]

    assert list(calls.take_target("ws/target")) == [call("ws/b")]
    assert len(calls) == 0


def test_what_one_caller_waits_for_is_bounded() -> None:
    calls = PendingCalls(Histogram())
    for number in range(PENDING_CALLS + 10):
        calls.add("ws/target", call(session=str(number)))

    assert len(calls) == PENDING_CALLS


def test_how_long_a_call_waited_is_noted_when_it_is_settled() -> None:
    durations = Histogram()
    calls = PendingCalls(durations)
    calls.add("ws/target", call()._replace(since=time.monotonic() - 3))
    calls.add("ws/target", call("ws/gone"))

    calls.take_caller("ws/gone")
    calls.settle("ws/target", "ws/caller", "s")

    assert sum(durations.counts) == 1
    assert durations.sum == pytest.approx(3, abs=0.5)


# What clients of this node owe.


def got(owed: OwedAnswers, callee: str, method: str = "services.tool.run") -> None:
    """A client gets a frame."""
    envelope = rpc.call_envelope(callee, method, "s")
    owed.note(callee, Seal("ws/caller", {}).call(envelope, pack({"args": []})))


def test_who_is_followed_owes_what_it_got_until_it_has_answered() -> None:
    owed = OwedAnswers(FrameReader(10_000))
    owed.follow("ws/page")

    got(owed, "ws/page")
    got(owed, "ws/other")
    owed.owes("ws/other", "t")
    got(owed, "ws/page", "t.resolve")

    assert owed.are_watched
    assert owed.is_awaited("ws/page")
    assert not owed.is_awaited("ws/other")
    owed.answered("ws/page", "s")
    assert not owed.is_awaited("ws/page")


def test_who_is_forgotten_owes_nothing() -> None:
    owed = OwedAnswers(FrameReader(10_000))
    owed.follow("ws/page")
    got(owed, "ws/page")

    owed.forget("ws/page")

    assert not owed.is_awaited("ws/page")
    assert not owed.are_watched


def test_who_was_forgotten_is_watched_with_all() -> None:
    owed = OwedAnswers(FrameReader(10_000))
    owed.watch()
    owed.forget("ws/page")

    got(owed, "ws/page")

    assert owed.is_awaited("ws/page")


def test_what_is_never_answered_is_bounded() -> None:
    owed = OwedAnswers(FrameReader(10_000))
    owed.follow("ws/page")

    for number in range(OWED_ANSWERS + 10):
        owed.owes("ws/page", f"s{number}")
    for number in range(10, OWED_ANSWERS + 10):
        owed.answered("ws/page", f"s{number}")

    assert not owed.is_awaited("ws/page")
