"""How the hub answers calls that clients make to it; and whose calls are at work."""

from collections import Counter
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any

from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Seal, pack
from hypha_cluster.protocol.limits import SINGLE_FRAME
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.supervision import Supervisor, Tasks


@lru_cache(maxsize=256)
def _seal(called: str) -> Seal:
    """The hub itself, at one of its addresses, which are made of the name of a workspace."""
    return Seal(called, ROOT.to_wire())


class Replies:
    """Sends answers, as whoever was called; runs what takes time until there is one."""

    def __init__(self, delivery: Delivery, supervisor: Supervisor) -> None:
        self._delivery = delivery
        self._tasks = Tasks(supervisor)
        self._serving: Counter[str] = Counter()  # caller → its calls that are at work

    async def stop(self) -> None:
        await self._tasks.stop()

    def is_serving(self, address: str) -> bool:
        """Whether a call of this client to the hub is at work."""
        return address in self._serving

    def send(self, caller: rpc.Caller, method: str | None, *values: Any) -> None:
        """Call a callback of the caller's, if there is one, in one frame."""
        if method is not None:
            envelope = rpc.call_envelope(caller.address, method)
            body = pack({"args": values}) if values else b""
            self._delivery.answer(caller.address, _seal(caller.target).call(envelope, body))

    def send_short(self, caller: rpc.Caller, value: Any) -> bool:
        """Answer a call, if that goes in one frame; say whether it does."""
        if caller.resolve is None:
            return True
        envelope = rpc.call_envelope(caller.address, caller.resolve)
        if caller.session is not None:
            envelope["parent"] = caller.session
        sealed = _seal(caller.target).call(envelope, pack({"args": [value]}))
        if len(sealed) > SINGLE_FRAME:
            return False
        self._delivery.answer(caller.address, sealed)
        return True

    def run(self, work: Coroutine[Any, Any, None], caller: rpc.Caller) -> None:
        """Have a call at work until it is answered, or fails."""
        self._serving[caller.address] += 1
        task = self._tasks.spawn(
            "answer", work, lambda error: self.failed(caller), detail=caller.address
        )
        task.add_done_callback(lambda task: self._finished(caller))

    def _finished(self, caller: rpc.Caller) -> None:
        self._serving[caller.address] -= 1
        if not self._serving[caller.address]:
            del self._serving[caller.address]

    def failed(self, caller: rpc.Caller) -> None:
        """Answer a call that the hub itself has failed to answer."""
        text = "The hub failed to answer; its operator finds the cause in its log."
        self.send(caller, caller.reject, rpc.error(text))
