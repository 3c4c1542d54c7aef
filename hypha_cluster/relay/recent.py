"""The frames that came lately, so that one which a Redis Cluster repeats is noticed.

A primary passes what is published on to its replicas, and those to whoever listens to them. When a
replica takes over, a frame can come from both, and late from the old primary if it was frozen.
"""

from collections import deque
from typing import Final

from hypha_cluster.protocol.limits import RECENT_FRAMES, RECENT_HEAD

_SESSION: Final = b"\xa7session"  # as msgpack has it; calls that wait for an answer have their own


class RecentFrames:
    """Remembers frames by their hash."""

    def __init__(self, many: int = RECENT_FRAMES) -> None:
        self._many = many
        self._order: deque[int] = deque()
        self._hashes: set[int] = set()

    def __contains__(self, frame: bytes) -> bool:
        return hash(frame) in self._hashes

    def repeats(self, frame: bytes) -> bool:
        """Remember a frame, and say whether it must be a repetition: no two calls are the same."""
        key = hash(frame)
        if key in self._hashes:
            return _SESSION in frame[:RECENT_HEAD]
        self._hashes.add(key)
        self._order.append(key)
        if len(self._order) > self._many:
            self._hashes.discard(self._order.popleft())
        return False
