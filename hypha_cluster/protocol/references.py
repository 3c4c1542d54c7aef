"""Functions among the values of a message that lead to somebody other than its sender.

Whoever gets a function calls it as themselves (protocol.md 3.1), so a stranger could have them call
what is protected. A function is found by the bytes of its key `_rtarget`, and not by walking
through the values: so a message costs no more for having many, and may come in parts.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.address import absolute, client_of, workspace_of
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.limits import FUNCTION_TEXT, REFERENCES

_KEY: Final = b"_rtarget"  # as it is in a regular expression too
# All that msgpack may write in front of it: that a text of eight characters follows.
_HEADS: Final = (b"\xa8", b"\xd9\x08", b"\xda\x00\x08", b"\xdb\x00\x00\x00\x08")
# How every published client begins a function: a map of three entries or more, with these first.
_BEGIN: Final = pack("_rtype") + pack("method") + pack("_rtarget")
_MAPS: Final = range(0x83, 0x90)
_NO_TEXT: Final = (0xC0, 0xC2, 0xC3)  # None, False, True
_SIZES: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}  # bytes that say the length of a text, by its first


class Reference(NamedTuple):
    """A service to which a function leads; is_called: it is the one that is called itself."""

    address: str
    service: str
    is_called: bool = False


class _Unfinished(Exception):
    """The rest has yet to come."""


class Own(NamedTuple):
    """How functions of a sender's own are told from others.

    names: what it calls itself. targets: how the key and the value of such a target are written:
    with its address, and with its id alone.
    """

    names: tuple[str, str]
    targets: frozenset[bytes]
    with_address: bytes
    with_id: bytes


@lru_cache(maxsize=1_024)
def own(source: str) -> Own:
    names = (source, client_of(source))
    targets = [_KEY + pack(name) for name in names]
    return Own(names, frozenset(targets), *targets)


class References:
    """Finds what leads to services of other workspaces in one message from `source` to `target`."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        mine = b"|".join(re.escape(pack(name)) for name in own(source).names)
        # The pattern begins with plain text, which `re` finds ten times as fast as anything else;
        # it leaves out the sender's own functions.
        self._others = re.compile(_KEY + b"(?!" + mine + b")")
        self._many = 0
        self._kept = b""  # the end of what has come, as far as a function may begin in it
        self._next = 0  # where in `_kept` to go on
        self._is_open = False  # whether a function has begun of which the rest has yet to come

    def feed(self, data: bytes, dropped: Iterable[tuple[int, int]] = ()) -> set[Reference]:
        """Look through the next bytes of the message.

        dropped: where long texts and arrays are in them (see `Skipping`). No client reads values in
        there, so they are not looked at, unless one may belong to a function that has begun.
        """
        found: set[Reference] = set()
        at, size = 0, len(data)
        for first, last in dropped:
            if last >= size:  # it ended in what came before, and was looked at
                continue
            found |= self._feed(data[at : (at := max(size - first, 0))])
            if not self._is_open:
                at = size - last
                self._kept, self._next = b"", 0
        return found | self._feed(data[at:])

    def _feed(self, data: bytes) -> set[Reference]:
        data = self._kept + data
        self._is_open = False
        found: set[Reference] = set()
        for match in self._others.finditer(data, self._next):
            if not data.endswith(_HEADS, 0, match.start()):
                continue
            try:
                reference = self._read(data, match.end())
            except _Unfinished:
                self._keep(data, match.start())
                self._is_open = True
                return found
            if reference is not None:
                found.add(reference)
        self._keep(data, max(len(data) - len(_KEY) + 1, self._next))
        return found

    def _keep(self, data: bytes, start: int) -> None:
        """Keep the data of a key that may begin at `start`, and what stands before it."""
        first = max(start - len(_BEGIN), 0)
        self._kept, self._next = data[first:], start - first

    def _read(self, data: bytes, end: int) -> Reference | None:
        """The service that a function leads to, if it is in another workspace.

        end: of the function's key `_rtarget`.
        """
        rest = _Rest(data, end)
        target = rest.text()
        if target is None:  # clients make no function of it
            return None
        address = self._meant(target)
        if workspace_of(address) == workspace_of(self._source):
            return None
        start = end - len(_BEGIN)
        if start < 1 or data[start - 1] not in _MAPS or not data.startswith(_BEGIN, start):
            raise _odd("begins with '_rtype': 'method', '_rtarget'")
        method = rest.method(data[start - 1] - _MAPS[0])
        self._many += 1  # now that it has come whole, and is not read again
        if self._many > REFERENCES:
            raise BadFrame(f"A message has at most {REFERENCES:,} functions of other workspaces.")
        services, _, path = method.partition(".")
        # The path of a callback begins with its session, and a client knows who may call that.
        return Reference(address, path.partition(".")[0]) if services == "services" else None

    def _meant(self, target: str) -> str:
        """The address that the receiver will call."""
        workspace = workspace_of(self._source)
        return absolute(target, workspace_of(self._target) if target == workspace else workspace)


class _Rest:
    """What stands behind the key `_rtarget`."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start

    def method(self, more: int) -> str:
        """The path of the function, which comes next; `more` entries stand behind it.

        None of them may be another path, for the last one counts.
        """
        if self.text() != "_rmethod" or (method := self.text()) is None:
            raise _odd("has '_rmethod' behind '_rtarget', as text")
        for _ in range(more):
            if self.text() in (None, "_rtype", "_rtarget", "_rmethod"):
                raise _odd("has each key once, as text")
            if self.text() is None and self._data[self._at - 1] not in _NO_TEXT:
                raise _odd("has no values but text, true, false and null")
        return method

    def text(self) -> str | None:
        """The next value, if it is text."""
        first = self._take(1)[0]
        if 0xA0 <= first <= 0xBF:
            size = first & 0x1F
        elif first in _SIZES:
            size = int.from_bytes(self._take(_SIZES[first]))
        else:
            return None
        if size > FUNCTION_TEXT:
            raise _odd(f"has no text of more than {FUNCTION_TEXT:,} bytes")
        return self._take(size).decode(errors="replace")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise _Unfinished
        self._at += size
        return taken


def _odd(rule: str) -> BadFrame:
    return BadFrame(f"A function of another workspace {rule}.")
