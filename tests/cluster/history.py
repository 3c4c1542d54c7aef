"""What clients saw and did, and whether a hub that keeps its promises can have been between them.

Every call has a name of its own, (caller, provider, number). It is written down when it begins and
when it ends, by the caller, and when it is executed, by the provider.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

# Clocks of a browser and of Python differ by a little.
CLOCK_ERROR = 0.005

FACTS = ("meant", "provider", "function")

Call = tuple[str, str, int]

# How a client says that it has waited long enough: that is not the hub's word.
IMPATIENCE = ("time out", "timed out", "timeout")


class Outcome(NamedTuple):
    """How a call ended for its caller."""

    at: float
    result: Any
    error: str | None

    @property
    def is_impatience(self) -> bool:
        return self.error is not None and any(word in self.error.lower() for word in IMPATIENCE)


class Execution(NamedTuple):
    """A call as a provider got it."""

    at: float
    call: Call
    meant: str
    provider: str
    function: str


class History:
    """Everything that the programs of a test have written down."""

    def __init__(self, notes: Iterable[dict[str, Any]]) -> None:
        self.begun: dict[Call, float] = {}
        self.outcomes: defaultdict[Call, list[Outcome]] = defaultdict(list)
        self.executions: list[Execution] = []
        # Those caught in an endless loop of the client's own; see program.py.
        self.caught: set[str] = set()
        for note in sorted(notes, key=lambda note: note["at"]):
            self._take(note)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        lines = (line for path in paths for line in path.read_text(encoding="utf-8").splitlines())
        return cls(json.loads(line) for line in lines)

    def _take(self, note: dict[str, Any]) -> None:
        kind, at = note["kind"], note["at"]
        if kind == "caught":
            self.caught.update(note["names"])
        if "call" not in note:
            return
        caller, provider, number = note["call"]
        call = (caller, provider, number)
        if kind == "begun":
            assert call not in self.begun, f"the test itself has placed {call} twice"
            self.begun[call] = at
        elif kind == "executed":
            self.executions.append(Execution(at, call, *(note[name] for name in FACTS)))
        else:
            self.outcomes[call].append(Outcome(at, note.get("result"), note.get("error")))

    # What must hold.

    def check(
        self,
        disorderly: Iterable[str] = (),
        between: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Raise AssertionError with whatever a hub must not let happen.

        disorderly: names of programs whose connections broke between these times, and whose
        client then opens several at once, sends by whichever is ready and reads from all of them.
        What they send and get in that time is in no order that a hub could keep.
        """
        wrong = [
            *self._without_one_outcome(),
            *self._with_a_wrong_result(),
            *self._misdirected(),
            *self._executed_twice(),
            *self._executed_too_late(),
            *self._out_of_order(set(disorderly), between),
        ]
        assert not wrong, f"{len(wrong)} wrong of {len(self.begun)} calls: {wrong[:10]}"

    def _without_one_outcome(self) -> Iterator[str]:
        for call in self.begun:
            if (count := len(self.outcomes[call])) != 1 and call[0] not in self.caught:
                yield f"{call} has {count} outcomes"

    def _with_a_wrong_result(self) -> Iterator[str]:
        executed = {execution.call for execution in self.executions}
        for call, outcomes in self.outcomes.items():
            for outcome in outcomes:
                if outcome.error is None and outcome.result != [list(call), call[1]]:
                    yield f"{call} was answered {outcome.result}"
                if outcome.error is None and call not in executed:
                    yield f"{call} was answered, but by nobody"

    def _misdirected(self) -> Iterator[str]:
        """Every provider has a workspace of its own, so only a stranger gets its calls instead."""
        for execution in self.executions:
            if not execution.provider == execution.meant == execution.call[1]:
                yield f"{execution.provider} got {execution.call}"
            if execution.call not in self.begun:
                yield f"{execution.call} was executed, but not placed"

    def _executed_twice(self) -> Iterator[str]:
        for call, count in Counter(execution.call for execution in self.executions).items():
            if count > 1:
                yield f"{call} was executed {count} times"

    def _executed_too_late(self) -> Iterator[str]:
        for execution in self.executions:
            for outcome in self.outcomes[execution.call]:
                late = execution.at - outcome.at
                if outcome.error and not outcome.is_impatience and late > CLOCK_ERROR:
                    yield f"{execution.call} was executed {late:.3f} s after {outcome.error}"

    def _out_of_order(self, disorderly: set[str], between: tuple[float, float]) -> Iterator[str]:
        """A function that takes its time may be begun late by the client that offers it."""
        first, last_moment = between
        last: dict[tuple[str, str], int] = {}
        for execution in self.executions:
            caller, provider, number = execution.call
            if execution.function != "at_once":
                continue
            if disorderly & {caller, provider} and first < execution.at < last_moment:
                continue
            before = last.get((caller, provider), 0)
            if number < before:
                yield f"{execution.call} was executed after {before}"
            last[caller, provider] = max(number, before)

    # What is worth telling.

    @property
    def callers(self) -> set[str]:
        return {caller for caller, _, _ in self.begun}

    def failures(self) -> list[tuple[Call, Outcome]]:
        return [
            (call, outcome)
            for call, outcomes in self.outcomes.items()
            for outcome in outcomes
            if outcome.error
        ]

    def errors(self) -> Counter[str]:
        """The different errors, by their last lines, and how often each."""
        texts = (outcome.error or "" for _, outcome in self.failures())
        return Counter(re.sub(r"\S*/\S*", "…", text.strip().rpartition("\n")[2]) for text in texts)

    def begun_after(self, at: float) -> list[Call]:
        return [call for call, begun in self.begun.items() if begun >= at]

    def failing_after(self, at: float) -> float:
        """For how many seconds from then on calls were placed that failed in the end."""
        failed = [
            self.begun[call] - at for call, _ in self.failures() if call[1] not in self.caught
        ]
        return max([*failed, 0.0])

    def good_after(self, at: float) -> dict[tuple[str, str], float]:
        """Seconds from then to the first good end of a call that began later, by pair."""
        healed: dict[tuple[str, str], float] = {}
        for call in self.begun_after(at):
            pair = call[:2]
            for outcome in self.outcomes[call]:
                if outcome.error is None:
                    healed[pair] = min(healed.get(pair, float("inf")), outcome.at - at)
        return healed

    def alive_after(self, at: float) -> set[tuple[str, str]]:
        """Pairs of caller and provider that had a call which ended well after that."""
        return {
            call[:2]
            for call, outcomes in self.outcomes.items()
            if any(outcome.at >= at and outcome.error is None for outcome in outcomes)
        }

    def longest_wait(self) -> float:
        """Seconds that the slowest call took to its outcome, good or bad."""
        ended = [(call, outcomes[0]) for call, outcomes in self.outcomes.items() if outcomes]
        return max(outcome.at - self.begun[call] for call, outcome in ended)


def median_and_worst(times: Iterable[float]) -> tuple[float, float]:
    known = list(times)
    return median(known), max(known)
