"""The history of an instance: every change of its state, written by the script that makes it.

So state and history cannot disagree.
"""

from typing import NamedTuple

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_HISTORY


class Step(NamedTuple):
    """One change. at: Unix time. before: the earlier state; empty for the first change.

    Both states are `starting` when its page comes in. runner: who has it, or had it until then.
    """

    at: float
    before: str
    after: str
    epoch: int
    runner: str
    reason: str


async def read_steps(redis: RedisClient, key: str) -> list[Step]:
    """The changes that a stream has, the oldest first."""
    return [_step(name, fields) for name, fields in await redis.xrange(key, APP_HISTORY)]


def _step(name: bytes, fields: list[bytes]) -> Step:
    before, after, epoch, runner, reason = (each.decode() for each in fields[1::2])
    return Step(int(name.partition(b"-")[0]) / 1000, before, after, int(epoch), runner, reason)
