"""Sends as much as it can, from one gateway to a client of its own on another.

`python -m tests.cluster.flooder FROM TO SECONDS` prints how many frames that was. A process of its
own, so that it takes no time from those who are watched.
"""

import asyncio
import sys
import time

from tests.gateways import POLL, SECOND
from tests.raw_client import RawClient, call_envelope

PUT = "services.mirror.put"


async def flood(first: str, second: str, seconds: float) -> int:
    """Return how many frames were sent, all of which came, in their order."""
    async with await RawClient.connect(first) as source, await RawClient.connect(second) as target:
        sent = 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await source.send(call_envelope(target.address, PUT), {"args": [sent]})
            sent += 1
        await _arrival(target, sent)
        numbers = [frame.args[0] for frame in target.received if frame.method == PUT]
        assert numbers == list(range(sent)), "frames were lost or out of order"
        return sent


async def _arrival(target: RawClient, count: int) -> None:
    async with asyncio.timeout(60 * SECOND):
        while len(target.received) <= count:  # noqa: ASYNC110  (the client waits no longer than 10 s)
            await asyncio.sleep(POLL)


if __name__ == "__main__":
    sent = asyncio.run(flood(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    sys.stdout.write(f"{sent}\n")
