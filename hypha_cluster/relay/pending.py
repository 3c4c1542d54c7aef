"""Calls that clients of this node have made and that wait for an answer."""

import time
from collections import defaultdict
from collections.abc import Iterator, Set
from typing import NamedTuple

from hypha_cluster.metrics import Histogram
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import node_of
from hypha_cluster.protocol.envelope import FrameReader
from hypha_cluster.protocol.limits import OWED_ANSWERS, PENDING_CALLS


class PendingCall(NamedTuple):
    """A call of a client, `caller`, that waits for its answer. since: time.monotonic().

    reject: the callback by which the caller is told that the call came to nothing. is_noted: false
    if its caller has too many pending calls: then the caller is told if the call cannot be
    delivered, but not if the callee leaves later.
    """

    caller: str
    session: str
    reject: str
    since: float
    is_noted: bool = True


class PendingCalls:
    """Finds pending calls by target, for when it leaves, and by caller, for when it goes.

    durations: of the calls that were settled.
    """

    def __init__(self, durations: Histogram) -> None:
        self._durations = durations
        # target → (caller, session) → call
        self._by_target: defaultdict[str, dict[tuple[str, str], PendingCall]] = defaultdict(dict)
        self._by_caller: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._watched: Set[str] = frozenset()
        self._called: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._by_target.values()))

    def add(self, target: str, call: PendingCall) -> PendingCall:
        """Note a call, and return it; is_noted is False if its caller has too many already."""
        if target in self._watched:
            self._called.add(target)
        sessions = self._by_caller[call.caller]
        if len(sessions) >= PENDING_CALLS:
            return call._replace(is_noted=False)
        sessions.add((target, call.session))
        self._by_target[target][call.caller, call.session] = call
        return call

    def targets_at(self, node: str) -> list[str]:
        """The addresses of a node itself at which calls wait, one in each workspace."""
        return [target for target in self._by_target if node_of(target) == node]

    def watch(self, targets: Set[str]) -> Set[str]:
        """Note from now on which of some targets are called; return those that were so far."""
        called, self._called = self._called, set()
        self._watched = targets
        return called

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
        call = self._drop(target, caller, session)
        self._durations.observe(time.monotonic() - call.since)
        return True

    def _drop(self, target: str, caller: str, session: str) -> PendingCall:
        calls = self._by_target[target]
        call = calls.pop((caller, session))
        if not calls:
            del self._by_target[target]
        return call

    def take_caller(self, caller: str) -> list[tuple[str, PendingCall]]:
        """Take out all calls for which a caller waits, with their targets."""
        return [
            (target, self._drop(target, caller, session))
            for target, session in self._by_caller.pop(caller, ())
        ]

    def take_target(self, target: str) -> Iterator[PendingCall]:
        """Take out all calls that wait for a target."""
        for call in list(self._by_target.get(target, {}).values()):
            self.settle(target, call.caller, call.session)
            yield call


class OwedAnswers:
    """Calls that clients of this node have got and not answered: of some; in a drain, of all."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self.are_watched = False  # those of anybody; asked on the path of each frame
        self._are_all_watched = False
        self._watched = set[str]()
        # callee → sessions, the oldest first
        self._by_callee: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def watch(self) -> None:
        """Have what is delivered to anybody noted from now on."""
        self.are_watched = self._are_all_watched = True

    def follow(self, callee: str) -> None:
        """Have what is delivered to one client noted from now on."""
        self._watched.add(callee)
        self.are_watched = True

    def forget(self, callee: str) -> None:
        """Follow a client no more; it owes nothing."""
        self._watched.discard(callee)
        self._by_callee.pop(callee, None)
        self.are_watched = self._are_all_watched or bool(self._watched)

    def note(self, callee: str, frame: bytes) -> None:
        """A client of this node gets a sealed frame."""
        if not self._is_watched(callee):
            return
        envelope = self._reader.read_envelope(frame)
        session, method = envelope.get("session"), envelope.get("method")
        if type(session) is str and not (type(method) is str and rpc.is_answer(method)):
            self._add(callee, session)

    def owes(self, callee: str, session: str) -> None:
        """A client of this node gets a call in chunks."""
        if self._is_watched(callee):
            self._add(callee, session)

    def _is_watched(self, callee: str) -> bool:
        return self._are_all_watched or callee in self._watched

    def _add(self, callee: str, session: str) -> None:
        sessions = self._by_callee[callee]
        sessions[session] = None
        if len(sessions) > OWED_ANSWERS:  # some are never answered
            del sessions[next(iter(sessions))]

    def answered(self, callee: str, session: str) -> None:
        """A client answers a call."""
        if callee in self._by_callee:
            self._by_callee[callee].pop(session, None)

    def is_awaited(self, callee: str) -> bool:
        """Whether a client owes any answer."""
        return bool(self._by_callee.get(callee))
