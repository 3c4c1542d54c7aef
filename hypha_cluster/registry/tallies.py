"""How many of something each user and address has, over all gateways."""

import contextlib
import math
from collections import Counter
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_WORTH_TELLING: Final = 50  # the limit divided by this is what the others are told from
_HOLDS: Final = 10_000  # ms for which the word of a gateway counts; it says so every second


class Tally:
    """Counts what is here, and knows how many the other gateways had a moment ago.

    limit: how many somebody may have, 0 for any number. A gateway where they have less than a
    fiftieth of it tells nobody.
    """

    def __init__(self, redis: RedisClient, keys: Keys, name: str, node: str, limit: int) -> None:
        self._keys = keys
        self.name = name
        self._node = node
        self.limit = limit
        self._tally = Script(redis, "tally")
        self._many = max(1, limit // _WORTH_TELLING) if limit else math.inf
        self._here: Counter[str] = Counter()
        self._large: set[str] = set()  # who has so many here that the others are told
        self._elsewhere: dict[str, int] = {}  # of those of whom the others were told

    def has_room(self, subject: str, more: int) -> bool:
        """Whether somebody may have this many more."""
        have = self._here[subject] + self._elsewhere.get(subject, 0)
        return not self.limit or have + more <= self.limit

    def change(self, subject: str, by: int) -> None:
        self._here[subject] = count = self._here[subject] + by
        if count <= 0:
            del self._here[subject]
        if count >= self._many:
            self._large.add(subject)
        elif subject in self._large:
            self._large.remove(subject)

    async def exchange(self) -> None:
        """Tell the others who has many here, and learn how many they have there."""
        if not self.limit:
            return
        large = frozenset(self._large)  # who has less meanwhile is told once more
        told = [(each, self._here[each]) for each in large | self._elsewhere.keys()]
        replies = [
            self._tally(keys=[self._keys.tally(self.name, each)], args=[self._node, count, _HOLDS])
            for each, count in told
        ]
        for (subject, count), reply in zip(told, replies, strict=True):
            with contextlib.suppress(RedisUnavailable):  # then each gateway counts for itself
                self._elsewhere[subject] = await reply - count
            if subject not in large:
                self._elsewhere.pop(subject, None)
