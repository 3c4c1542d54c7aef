"""When the tokens were last used that users find on their account page."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import cachetools

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import is_listed
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import NOTED_USES
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

PAUSE: Final = 60.0  # seconds for which further uses of a token are not written
_WRITE_EVERY: Final = 1.0  # seconds
_Token = tuple[str, str]  # its user, and its id


class LastUses:
    """Hears of each use, and writes down one of each token a minute: no request waits for it."""

    def __init__(
        self, redis: RedisClient, keys: Keys, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._use = Script(redis, "use_token")
        self._noted: cachetools.TTLCache[_Token, bool]
        self._noted = cachetools.TTLCache(NOTED_USES, PAUSE, timer=clock)
        self._unwritten: dict[_Token, float] = {}

    def note(self, identity: Identity) -> None:
        """Somebody comes with a token."""
        if identity.origin is None or not is_listed(identity.origin.token):
            return
        token = (identity.family, identity.origin.token)
        if token not in self._noted and len(self._unwritten) < NOTED_USES:
            self._noted[token] = True
            self._unwritten[token] = self._clock()

    async def run(self) -> None:
        """Write what was noted, until this is cancelled."""
        while True:
            await asyncio.sleep(_WRITE_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what was noted; forget what cannot be written, as the next use is noted too."""
        unwritten, self._unwritten = self._unwritten, {}
        replies = [
            self._use(keys=[self._keys.tokens(user)], args=[token, f"{when:.0f}"])
            for (user, token), when in unwritten.items()
        ]
        for reply in replies:
            with contextlib.suppress(RedisUnavailable):
                await reply
