"""What goes on at one gateway for its users, of which nobody has all."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

_PART: Final = 10  # of what there may be, one user has this part


class Shares:
    """Counts what goes on, by the families of users."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def has_room(self, user: str, most: int) -> bool:
        """Whether there is room for one more of a user. most: how many there may be of all."""
        return self._counts.total() < most and self._counts[user] < max(most // _PART, 1)

    @contextlib.contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Meanwhile there is one more of a user."""
        self._counts[user] += 1
        try:
            yield
        finally:
            self._counts[user] -= 1
            if not self._counts[user]:
                del self._counts[user]
