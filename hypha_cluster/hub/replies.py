"""Answers calls that clients make to the hub, and knows on whose calls the hub is at work."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from hypha_cluster.errors import HubError, Overloaded
from hypha_cluster.hub.calls import hub_seal
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.limits import (
    ALL_HUB_CALLS,
    FEW_HUB_CALLS,
    HUB_CALL_BYTES,
    HUB_CALLS,
    SINGLE_FRAME,
)
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.supervision import Supervisor, Tasks


class Replies:
    """Sends answers from the address that was called; runs the work for those that take time."""

    def __init__(self, delivery: Delivery, supervisor: Supervisor) -> None:
        self._delivery = delivery
        self._tasks = Tasks(supervisor)
        self._serving: dict[str, int] = {}  # caller → its calls on which the hub is at work
        self._all = 0  # of these calls
        self._room = Room(HUB_CALL_BYTES)  # for their arguments

    async def stop(self) -> None:
        await self._tasks.stop()

    def is_serving(self, address: str) -> bool:
        """Whether the hub is at work on a call of this client."""
        return address in self._serving

    def refusal(self, caller: rpc.Caller, size: int) -> HubError | None:
        """Why one more call of this client cannot be at work; None if it can.

        When clients together have many, those who have more than a few of them have to wait. size:
        bytes of memory that it takes.
        """
        own = self._serving.get(caller.address, 0)
        if own >= FEW_HUB_CALLS and (own >= HUB_CALLS or self._all >= ALL_HUB_CALLS):
            return Overloaded(
                f"The hub is at work on {own} calls of yours; wait for the answers to some of them."
            )
        if not self._room.has(caller.address, size):
            return Overloaded(
                "The hub is at work on too many long calls, of yours or of others; wait for the "
                "answers to some of them, and call again."
            )
        return None

    def send(self, caller: rpc.Caller, method: str | None, *values: Any) -> None:
        """Call a callback of the caller, if it gave one, in one frame."""
        if method is not None:
            envelope = rpc.call_envelope(caller.address, method)
            body = pack({"args": values}) if values else b""
            self._delivery.answer(caller.address, hub_seal(caller.target).call(envelope, body))

    def send_short(self, caller: rpc.Caller, value: Any) -> bool:
        """Answer a call if the answer fits into one frame; say whether it did."""
        if caller.resolve is None:
            return True
        envelope = rpc.call_envelope(caller.address, caller.resolve)
        if caller.session is not None:
            envelope["parent"] = caller.session
        sealed = hub_seal(caller.target).call(envelope, pack({"args": [value]}))
        if len(sealed) > SINGLE_FRAME:
            return False
        self._delivery.answer(caller.address, sealed)
        return True

    def run(self, work: Coroutine[Any, Any, None], caller: rpc.Caller, size: int) -> None:
        """Do the work for a call of so many bytes in a task, until it is answered, or fails."""
        self._room.take(caller.address, size)
        self._serving[caller.address] = self._serving.get(caller.address, 0) + 1
        self._all += 1
        task = self._tasks.spawn(
            "answer", work, lambda error: self.failed(caller), detail=caller.address
        )
        task.add_done_callback(partial(self._finished, caller.address, size))

    def _finished(self, address: str, size: int, task: asyncio.Task[None]) -> None:
        self._room.take(address, -size)
        self._all -= 1
        if (left := self._serving[address] - 1) > 0:
            self._serving[address] = left
        else:
            del self._serving[address]

    def failed(self, caller: rpc.Caller) -> None:
        """Reject a call on which the hub itself has failed."""
        text = "The hub failed to answer; its operator finds the cause in its log."
        self.send(caller, caller.reject, rpc.error(text))
