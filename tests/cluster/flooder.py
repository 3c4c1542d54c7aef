"""Sends as much as it can, from one gateway to a client of its own on another.

`python -m tests.cluster.flooder FROM TO SECONDS` prints how many frames that was, and how many of
them came. A process of its own, so that it takes no time from those who are watched.
"""

import asyncio
import sys
import time

from tests.gateways import POLL, SECOND
from tests.raw_client import RawClient, call_envelope

PUT = "services.mirror.put"
SILENCE = 5 * SECOND  # after which no more frames are expected


async def flood(first: str, second: str, seconds: float) -> tuple[int, int]:
    """Return how many frames were sent and came, in their order.

    What is more than the hub keeps for a client that is slow is refused, as it should be.
    """
    async with await RawClient.connect(first) as source, await RawClient.connect(second) as target:
        await target.offer("mirror", "public")
        sent = 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await source.send(call_envelope(target.address, PUT), {"args": [sent]})
            sent += 1
        await _arrival(target, sent)
        numbers = [frame.args[0] for frame in target.received if frame.method == PUT]
        assert numbers == sorted(set(numbers)), "frames came twice or out of order"
        return sent, len(numbers)


async def _arrival(target: RawClient, count: int) -> None:
    """Wait until all have come, or no more do."""
    came, since = -1, 0.0
    while came < count and (len(target.received) > came or time.monotonic() < since + SILENCE):
        if len(target.received) > came:
            came, since = len(target.received), time.monotonic()
        await asyncio.sleep(POLL)


if __name__ == "__main__":
    sent, came = asyncio.run(flood(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    sys.stdout.write(f"{sent} {came}\n")
