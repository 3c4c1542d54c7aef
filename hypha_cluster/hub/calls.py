"""Calls as the hub's own client sees them: those that it gets, and those that it places."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadRequest, CallTimeout, HubError
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.chunks import Assembler
from hypha_cluster.protocol.envelope import Frame, Seal
from hypha_cluster.protocol.limits import SHOWN
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance

_SHORT: Final = 1024  # bytes of a frame that is not worth a look into it
_MANY: Final = 20_000  # values
_VALUE: Final = (
    90  # bytes that a value takes besides its text; an empty list is one byte of a frame
)


def arguments_of(frame: Frame) -> tuple[list[Any], dict[str, Any]]:
    """What a call passes, by position and by keyword (protocol.md 3.6)."""
    args = list(frame.body.get("args") or [])
    if frame.body.get("with_kwargs") and args and isinstance(args[-1], dict):
        return args, args.pop()
    return args, {}


def memory_of(frame: Frame) -> int:
    """How many bytes a call takes while the hub is at work on it, rather too many than too few."""
    size = len(frame.raw)
    many = _values_in(frame.body) if size > _SHORT else None
    return size * _VALUE if many is None else 2 * size + many * _VALUE


def _values_in(body: dict[str, Any]) -> int | None:
    """How many values there are, the names in maps among them; None for too many to look at."""
    many, waiting = 0, list[Any]([body])
    while waiting and many < _MANY:
        each = waiting.pop()
        is_map = type(each) is dict
        many += len(each) * (1 + is_map)
        if many < _MANY:
            inside = each.values() if is_map else each
            waiting += [one for one in inside if type(one) is dict or type(one) is list]
    return many if many < _MANY else None


def check_arguments(
    function: Callable[..., Any], name: str, args: Sequence[Any], names: Iterable[str]
) -> None:
    """Match arguments with parameters first, so that a mismatch is the caller's mistake."""
    keywords = tuple(names)
    # A method of an object that is there for one call only is the same for all of its class.
    plain = getattr(function, "__func__", None)
    try:
        check = _check_again if len("".join(keywords)) <= SHOWN else _check_shape
        check(plain or function, len(args) + (plain is not None), keywords)
    except TypeError as error:
        raise BadRequest(f"{name}: {error}") from None


def _check_shape(function: Callable[..., Any], many: int, names: tuple[str, ...]) -> None:
    """Raise TypeError unless a function takes so many arguments by position, and these by name."""
    inspect.signature(function).bind(*range(many), **dict.fromkeys(names))


_check_again = lru_cache(maxsize=256)(_check_shape)


class Call(NamedTuple):
    """A call that a client makes to the hub: `services.<service>.<function>`."""

    caller: rpc.Caller
    service: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any]

    @property
    def workspace(self) -> str:
        """The workspace whose manager was called."""
        return self.caller.target.partition("/")[0]


class Behalf(NamedTuple):
    """On whose behalf, and from which workspace, the hub calls a client.

    mail: what they may yet put into mailboxes.
    """

    user: Identity
    workspace: str
    mail: Allowance = UNBOUNDED


class PlacedCall:
    """A call that the hub has placed; for so many seconds it waits for its answer.

    parts: what has come of an answer in chunks, if any has; it goes with the call.
    """

    __slots__ = ("_method", "_seconds", "_timer", "answer", "parts", "target")

    def __init__(self, target: str, method: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.target = target
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.parts: Assembler | None = None
        self._method = method
        self._seconds = seconds
        self._timer = loop.call_later(seconds, self._fail_late)

    def wait_anew(self) -> None:
        """The callee is at work, and has all its seconds again."""
        self._timer.cancel()
        self._timer = self.answer.get_loop().call_later(self._seconds, self._fail_late)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._timer.cancel()

    def late(self) -> CallTimeout:
        """The error of a call whose callee has let its seconds pass."""
        return CallTimeout(f"{self.target} did not answer {self._method} in time.")

    def _fail_late(self) -> None:
        self.fail(self.late())

    def fail(self, error: HubError) -> None:
        """End it with an error, unless it has ended already."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever waited may have stopped; that needs no word


class Heartbeat:
    """Calls `beat` every `interval` seconds, until it is stopped."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._arm()

    def stop(self) -> None:
        self._timer.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    def _tick(self) -> None:
        self._arm()
        self._beat()


@lru_cache(maxsize=512)
def hub_seal(source: str) -> Seal:
    """The seal of the hub itself at one of its addresses, of which a workspace has two."""
    return Seal(source, ROOT.to_wire())


class Outgoing(NamedTuple):
    """A frame of the hub's that is not sealed yet.

    mail: what the client for which it is sent may yet put into mailboxes.
    """

    source: str
    user: Identity
    envelope: dict[str, Any]
    body: dict[str, Any]
    mail: Allowance = UNBOUNDED

    def sealed(self, envelope: dict[str, Any], body: bytes) -> bytes:
        """Seal a frame to the same target, from the same sender as the target may see it."""
        if self.user is ROOT:
            return hub_seal(self.source).call(envelope, body)
        target = workspace_of(self.envelope["to"])
        return Seal(self.source, self.user.seen_in(target).to_wire()).call(envelope, body)
