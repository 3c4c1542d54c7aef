"""Shares of what one gateway can do at once: no user may have all of it."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

_PART: Final = 10  # one user may have the whole divided by this


class Shares:
    """Counts what goes on, by the families of users."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def has_room(self, user: str, most: int) -> bool:
        """Whether a user may have one more. most: how many all users may have together."""
        return self._counts.total() < most and self._counts[user] < max(most // _PART, 1)

    @contextlib.contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Count one more for a user meanwhile."""
        self._counts[user] += 1
        try:
            yield
        finally:
            self._counts[user] -= 1
            if not self._counts[user]:
                del self._counts[user]
