"""Which clients are called: by clients of this node, and over HTTP."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Set

from hypha_cluster.relay.pending import PendingCalls


class Activity:
    """Counts calls in memory, but not what the hub asks by itself: probes, descriptions."""

    def __init__(self, pending: PendingCalls) -> None:
        self._pending = pending
        self._visited: Counter[str] = Counter()
        self._watched: Set[str] = frozenset()
        self._called: set[str] = set()

    @contextlib.contextmanager
    def visiting(self, target: str) -> Iterator[None]:
        """Count a call over HTTP for as long as the block lasts."""
        self._called.update(self._watched & {target})
        self._visited[target] += 1
        try:
            yield
        finally:
            self._visited[target] -= 1
            if not self._visited[target]:
                del self._visited[target]

    def waiting_for(self, target: str) -> int:
        """How many calls from this node wait for a client."""
        return self._pending.waiting_for(target) + self._visited[target]

    def watch(self, targets: Set[str]) -> Mapping[str, int]:
        """Watch some clients from now on; return which of them were called, or are at work.

        With each is how many calls wait for it.
        """
        called = self._pending.watch(targets) | self._called
        self._watched, self._called = targets, set()
        waiting = {target: self.waiting_for(target) for target in targets | called}
        return {target: many for target, many in waiting.items() if many or target in called}
