"""Whose turn it is to probe which instance, and what came of it; all gateways together."""

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient, Word
from hypha_cluster.registry.instances import LEASE
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_LOOKED_AT: Final = 1_000  # instances that one script looks at


class ProbeTurn(NamedTuple):
    """One probe of an instance. name: of the look by which it was found to be due."""

    address: str
    name: str


class InstanceProbes:
    """Gives one gateway its turns."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._keys = keys
        self._due = Script(redis, "due_probes")
        self._note = Script(redis, "note_probe")
        self._name = secrets.token_hex(8)  # of this gateway as one that probes

    async def due(self) -> list[ProbeTurn]:
        """The instances whose liveness is to be probed now; each goes to whoever asks first.

        An instance is not due again before this probe is noted, or should have been.
        """
        keys, turn = self._keys, secrets.token_hex(8)
        due: Sequence[bytes] = await self._due(
            [keys.probes(), keys.taken(self._name)],
            [keys.instance(), _LOOKED_AT, turn, int(LEASE * 1000)],
        )
        return [ProbeTurn(address.decode(), turn) for address in due]

    async def note(self, turn: ProbeTurn, *, is_well: bool, forgiven_after: float) -> int | None:
        """Note a probe; return how many have failed in a row, None if it was not its turn.

        forgiven_after: seconds of running well, after which its restarts do not count any more.
        """
        keys = [self._keys.instance(turn.address), self._keys.probes()]
        args: list[Word] = [turn.address, turn.name, int(is_well), int(forgiven_after * 1000)]
        failures: int | None = await self._note(keys, args)
        return failures
