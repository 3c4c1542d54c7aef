"""Calls in which the hub passes functions of its own, for the callee to call back.

The functions are there as long as the session is open, and for nobody but the called client. It
gets the answer to each when the function has returned; so a client that awaits its calls is slowed
down to the pace of whatever takes them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from hypha_cluster.errors import ClientBusy, SessionClosed
from hypha_cluster.hub.calls import arguments_of, check_arguments
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.limits import CALLBACK_BYTES, CALLBACKS
from hypha_cluster.supervision import Tasks

# Takes what the client has passed; returns a value as it travels.
Offered = Callable[..., Awaitable[Any]]


# Places a call at the target of a session; returns the encoded result.
Place = Callable[[str, list[Any], dict[str, Any] | None], Awaitable[Any]]


class Callback(NamedTuple):
    """A client's call of a function that a session offers; `session.answer` runs it.

    is_prompt: whether it may begin outside of any task (supervision.begin).
    """

    session: "CallSession"
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    size: int
    is_prompt: bool


class CallSession:
    """A conversation with one client; ends with its block, or when the client leaves.

    target: the client. address: where it finds what is offered, in a session called `name`.
    """

    def __init__(self, name: str, target: str, address: str, place: Place, tasks: Tasks) -> None:
        self.name = name
        self.target = target
        self.tasks = tasks
        self._address = address
        self._place = place
        self._offers: dict[str, Offered] = {}
        self._prompt: set[str] = set()
        # Calls of one function are answered in the order in which they came.
        self._turns: dict[str, asyncio.Lock] = {}
        self._many = self._bytes = 0  # of calls that wait

    def offer(self, name: str, function: Offered, *, prompt: bool = False) -> dict[str, Any]:
        """Let the client call a function from now on; return the reference to pass to it.

        prompt: most calls of it need not wait, so it begins outside of any task.
        """
        path = f"{self.name}.{name}"
        if name in self._offers or "." in name or rpc.is_answer(path):
            raise ValueError(f"{name!r} cannot be offered in this session")
        self._offers[name] = function
        self._turns[name] = asyncio.Lock()
        if prompt:
            self._prompt.add(name)
        return rpc.reference(self._address, path)

    async def call(self, method: str, args: list[Any], kwargs: dict[str, Any] | None = None) -> Any:
        """Call a function of the client, for as long as it says that it is at work."""
        return await self._place(method, args, kwargs)

    def take(self, function: str, frame: Frame) -> Callback:
        """Read a call of an offered function; refuse it if too many wait already."""
        if function not in self._offers:
            raise SessionClosed(f"The session offers no {function!r}.")
        if self._many >= CALLBACKS or self._bytes > CALLBACK_BYTES:
            raise ClientBusy(f"Too many calls of {function!r} wait; await each before the next.")
        args, kwargs = arguments_of(frame)
        check_arguments(self._offers[function], function, args, kwargs)
        self._many += 1
        self._bytes += len(frame.raw)
        return Callback(self, function, args, kwargs, len(frame.raw), function in self._prompt)

    async def answer(self, callback: Callback) -> Any:
        """Run the function that the client calls, when it is its turn."""
        try:
            async with self._turns[callback.function]:
                return await self._offers[callback.function](*callback.args, **callback.kwargs)
        finally:
            self._many -= 1
            self._bytes -= callback.size

    async def settled(self, function: str) -> None:
        """Wait until all calls of a function that have come are done."""
        async with self._turns[function]:
            pass
