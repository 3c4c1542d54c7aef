"""The checker of instances finds whatever a hub must not let happen, and nothing in what it may."""

import re
from pathlib import Path

import pytest

from hypha_cluster.registry.instance_history import Step
from tests.cluster.instance_history import ARROWS, Beat, Launch, Record

PAGE = Path(__file__).parents[2] / "docs" / "apps.md"
A, B = "ann/a", "ann/b"


def _came_in(at: float, epoch: int, runner: str) -> Step:
    return Step(at, "starting", "starting", epoch, runner, "Its page has come in.")


ASKED = Step(1, "", "pending", 0, "", "")
TAKEN = Step(2, "pending", "starting", 1, "r", "")
IN = _came_in(3, 1, "r")
RUNS = Step(4, "starting", "running", 1, "r", "")
LOST = Step(14, "running", "pending", 1, "r", "The runner r is lost.")
TAKEN_AGAIN = Step(14, "pending", "starting", 2, "s", "")
IN_AGAIN = _came_in(15, 2, "s")
RUNS_AGAIN = Step(16, "starting", "running", 2, "s", "")
STOPS = Step(20, "running", "stopping", 2, "s", "")
STOPPED = Step(21, "stopping", "stopped", 2, "s", "")
GOOD = (ASKED, TAKEN, IN, RUNS, LOST, TAKEN_AGAIN, IN_AGAIN, RUNS_AGAIN, STOPS, STOPPED)
BEATS = (Beat(3.5, A, "one"), Beat(13, A, "one"), Beat(15.1, A, "two"), Beat(19, A, "two"))
LAUNCH = Launch("l1", "lazy", 0.5, 4.1, (A,))


def record(
    steps: tuple[Step, ...] = GOOD,
    beats: tuple[Beat, ...] = BEATS,
    launches: tuple[Launch, ...] = (LAUNCH,),
    **others: tuple[Step, ...],
) -> Record:
    more = {f"ann/{name}": found for name, found in others.items()}
    every = {A: steps, **more}
    return Record(every, dict.fromkeys(every, "lazy"), beats, launches)


def test_nothing_is_wrong_when_all_went_well() -> None:
    record().check()


def test_one_that_is_asked_for_again_goes_on_counting() -> None:
    again = (
        Step(30, "stopped", "pending", 2, "", ""),
        Step(31, "pending", "starting", 3, "r", ""),
        _came_in(32, 3, "r"),
        Step(33, "starting", "running", 3, "r", ""),
    )
    record((*GOOD, *again), (*BEATS, Beat(40, A, "three"))).check()


def without(*steps: Step) -> tuple[Step, ...]:
    return tuple(each for each in GOOD if each not in steps)


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        (without(LOST), "it was 'running', and is said to have been 'pending'"),
        (GOOD[1:], "it was '', and is said to have been 'pending'"),
        ((ASKED, Step(2, "pending", "running", 0, "r", "")), "no arrow leads from 'pending'"),
        ((*GOOD, Step(22, "stopped", "running", 2, "s", "")), "no arrow leads from 'stopped'"),
        ((ASKED, TAKEN._replace(epoch=2)), "epoch 2 follows epoch 0"),
        ((*GOOD[:5], TAKEN_AGAIN._replace(epoch=1)), "epoch 1 follows epoch 1"),
        ((ASKED, TAKEN, IN, RUNS._replace(epoch=2)), "epoch 2 follows epoch 1"),
        ((ASKED, TAKEN, IN, RUNS._replace(runner="s")), "s changes what r holds"),
        ((ASKED, TAKEN._replace(runner="")), "nobody has taken epoch 1"),
        ((ASKED, TAKEN, IN, IN, RUNS), "2 pages have come in as epoch 1"),
        (without(IN_AGAIN), "epoch 2 runs, and no page of it has come in"),
        ((*GOOD[:-1], STOPPED._replace(at=19)), "'stopped' at 19 is before 'stopping'"),
    ],
)
def test_a_wrong_step_is_found(steps: tuple[Step, ...], wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        record(steps, ()).check()


@pytest.mark.parametrize(
    ("beats", "wrong"),
    [
        ((*BEATS, Beat(15.2, A, "one")), "epoch 1 is heard 0.200 s after its fence"),
        ((Beat(3.5, A, "one"), Beat(4, A, "two")), "one and two are both pages of epoch 1"),
        ((Beat(2.5, A, "one"),), "one was heard, and never let in"),
    ],
)
def test_two_epochs_alive_are_found(beats: tuple[Beat, ...], wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        record(beats=beats).check()


@pytest.mark.parametrize(
    ("launch", "wrong"),
    [
        (LAUNCH._replace(answers=()), "l1 has 0 answers"),
        (LAUNCH._replace(answers=(A, A)), "l1 has 2 answers"),
        (LAUNCH._replace(answers=(B,)), "l1 asked for lazy, and got ann/b"),
        (LAUNCH._replace(answered=3.5), "which did not run"),
        (LAUNCH._replace(asked=22.0, answered=23.0), "which did not run"),
    ],
)
def test_a_wrong_answer_is_found(launch: Launch, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        record(launches=(launch,)).check()


def test_a_second_instance_beside_the_first_is_found() -> None:
    with pytest.raises(AssertionError, match="ann/a and ann/b are both instances of lazy at 10"):
        record(b=(ASKED._replace(at=10),)).check()

    record(b=(ASKED._replace(at=22),)).check()


def test_the_arrows_are_those_that_the_page_shows() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    shown = {state: {*re.findall(r"`(\w+)`", following)} for state, following in rows}

    coming_in = {"starting"}  # a step of its own, and no other state
    assert {state: {*ARROWS[state]} for state in ARROWS if state} == {
        **shown,
        "starting": shown["starting"] | coming_in,
    }
