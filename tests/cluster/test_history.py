"""The checker finds whatever a hub must not let happen, and nothing in what it may."""

from typing import Any

import pytest

from tests.cluster.history import History

Note = dict[str, Any]


def _begun(number: int, at: float) -> Note:
    return {"kind": "begun", "at": at, "call": ["a", "p", number]}


def _executed(number: int, at: float, by: str = "p") -> Note:
    facts = {"meant": "p", "provider": by, "function": "at_once"}
    return {"kind": "executed", "at": at, "call": ["a", "p", number], **facts}


def _done(number: int, at: float, result: object = None) -> Note:
    call = ["a", "p", number]
    return {"kind": "done", "at": at, "call": call, "result": result or [call, "p"]}


def _failed(number: int, at: float, error: str) -> Note:
    return {"kind": "failed", "at": at, "call": ["a", "p", number], "error": error}


GOOD = [_begun(1, 1), _executed(1, 2), _done(1, 3), _begun(2, 4), _executed(2, 5), _done(2, 6)]


def test_nothing_is_wrong_when_all_went_well() -> None:
    History(GOOD).check()


@pytest.mark.parametrize(
    ("notes", "wrong"),
    [
        ([*GOOD, _begun(3, 7)], "0 outcomes"),
        ([*GOOD, _done(2, 7)], "2 outcomes"),
        ([*GOOD, _begun(3, 7), _executed(3, 8), _done(3, 9, "else")], "was answered else"),
        ([*GOOD, _begun(3, 7), _done(3, 9)], "answered, but by nobody"),
        ([*GOOD, _begun(3, 7), _executed(3, 8, by="q"), _done(3, 9)], "q got"),
        ([*GOOD, _executed(3, 8)], "but not placed"),
        ([*GOOD, _executed(2, 7)], "executed 2 times"),
        ([*GOOD, _begun(3, 7), _failed(3, 8, "left"), _executed(3, 9)], "s after left"),
        ([*GOOD, _begun(3, 1), _executed(3, 1.5), _done(3, 9)], "was executed after 3"),
    ],
)
def test_it_finds(notes: list[Note], wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        History(notes).check()


def test_a_call_may_be_executed_after_its_caller_lost_patience() -> None:
    History([*GOOD, _begun(3, 7), _failed(3, 8, "Method call timed out"), _executed(3, 9)]).check()


def test_only_who_is_disorderly_and_only_for_a_time_need_keep_no_order() -> None:
    history = History([*GOOD, _begun(3, 1), _executed(3, 1.5), _done(3, 9)])

    history.check({"a"}, between=(1, 7))
    for names, between in (({"b"}, (1, 7)), ({"a"}, (7, 9))):
        with pytest.raises(AssertionError, match="was executed after 3"):
            history.check(names, between=between)


def test_it_says_for_how_long_calls_failed() -> None:
    history = History([*GOOD, _begun(3, 7), _failed(3, 8, "left")])

    assert history.failing_after(5) == 2
    assert history.failing_after(9) == 0


def test_who_was_caught_has_calls_without_an_outcome_and_nobody_counts_their_time() -> None:
    history = History([*GOOD, _begun(3, 7), {"kind": "caught", "at": 8, "names": ["a"]}])

    history.check()

    assert history.longest_wait() == 2
