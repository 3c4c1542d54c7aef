"""Frames that a client posts at a node which does not have its event stream.

Such a frame goes by the way of the frames *for* the client: to the node that has the stream, or to
the mailbox, from which it is taken in its turn when the client is back. So it overtakes nothing
that the client has posted before.
"""

import asyncio
import secrets
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.protocol.limits import POST_PATIENCE
from hypha_cluster.relay.bus import Outcome, Publisher
from hypha_cluster.relay.events import Posted, write_posted
from hypha_cluster.relay.sockets import Verdict

_VERDICTS: Final = {
    Outcome.MAILED: Verdict.KEPT,
    Outcome.MAILBOX_FULL: Verdict.BUSY,
    Outcome.NOBODY: Verdict.OVER,
    Outcome.AWAY: Verdict.OVER,
}
_KNOWN: Final = {verdict.value: verdict for verdict in Verdict}


class Posts:
    """Sends such frames, and hears what became of them; `Delivery` takes those of other nodes."""

    def __init__(self, node: str, publisher: Publisher) -> None:
        self._node = node
        self._publisher = publisher
        self._waiting: dict[str, asyncio.Future[Verdict | None]] = {}

    async def send(self, address: str, key: str, frame: bytes, *, may_mail: bool = True) -> Verdict:
        """Have a frame routed as one of the client at `address`; return what became of it.

        key: of the client's stream; the node that has the stream compares it. may_mail: whether the
        frame may wait for a client that is not connected. RedisUnavailable.
        """
        number = secrets.token_hex(8)
        waiting: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting

        def on_not_taken(outcome: Outcome) -> None:
            _settle(waiting, _VERDICTS.get(outcome))

        message = write_posted(Posted(key, self._node, number, frame))
        self._publisher.deliver_or_mail(address, message, on_not_taken, may_mail=may_mail)
        try:
            async with asyncio.timeout(POST_PATIENCE):
                verdict = await waiting
            if verdict is None:
                raise RedisUnavailable("The relay is unavailable; try again in a moment.")
            return verdict
        except TimeoutError:
            return Verdict.KEPT
        finally:
            del self._waiting[number]

    def take_answer(self, number: str, verdict: str) -> None:
        """Another node says what became of a frame."""
        waiting, known = self._waiting.get(number), _KNOWN.get(verdict)
        if waiting is not None and known is not None:
            _settle(waiting, known)


def _settle(waiting: "asyncio.Future[Verdict | None]", verdict: Verdict | None) -> None:
    if not waiting.done():
        waiting.set_result(verdict)
