"""Calls that clients of this node have made and that wait for an answer."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

# A caller with more of them is no longer told when a target leaves, and runs into its time-out.
MANY: Final = 10_000


class PendingCall(NamedTuple):
    """Who waits, and where it is told that the call came to nothing."""

    caller: str
    session: str
    reject: str


class PendingCalls:
    """Finds them by their target, for when it leaves, and by their caller, for when that goes."""

    def __init__(self) -> None:
        # target → (caller, session) → method of the caller's to reject with
        self._by_target: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)
        self._by_caller: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def __len__(self) -> int:
        return sum(map(len, self._by_target.values()))

    def add(self, target: str, call: PendingCall) -> None:
        sessions = self._by_caller[call.caller]
        if len(sessions) < MANY:
            sessions.add((target, call.session))
            self._by_target[target][call.caller, call.session] = call.reject

    def waiting_for(self, target: str) -> int:
        """How many calls wait for a target."""
        return len(self._by_target.get(target, ()))

    def is_waiting(self, target: str, caller: str, session: str) -> bool:
        return (target, session) in self._by_caller.get(caller, ())

    def settle(self, target: str, caller: str, session: str) -> bool:
        """A call has its answer; say whether it was waited for."""
        sessions = self._by_caller.get(caller)
        if sessions is None or (target, session) not in sessions:
            return False
        sessions.discard((target, session))
        if not sessions:
            del self._by_caller[caller]
        self._drop(target, caller, session)
        return True

    def _drop(self, target: str, caller: str, session: str) -> None:
        calls = self._by_target[target]
        del calls[caller, session]
        if not calls:
            del self._by_target[target]

    def forget_caller(self, caller: str) -> None:
        for target, session in self._by_caller.pop(caller, ()):
            self._drop(target, caller, session)

    def take_target(self, target: str) -> Iterator[PendingCall]:
        """All calls that wait for a target; from now on they do not."""
        for caller, session in list(self._by_target.get(target, ())):
            reject = self._by_target[target][caller, session]
            self.settle(target, caller, session)
            yield PendingCall(caller, session, reject)
