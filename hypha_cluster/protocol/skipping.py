"""Skips a msgpack value as its bytes come, of any size, and keeps next to nothing of it.

msgpack's own unpacker skips fast, but keeps the bytes of a text or an array until its last one has
come. So a value that has ended in what is there is skipped by msgpack; one that is longer is opened
here: a list or a map to skip what is in it, anything else to drop its bytes as they come.
"""

import re
from typing import Final

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.limits import LEVELS

_WINDOW: Final = 4_096  # bytes in which a value ends, or is opened
# Values of a single byte, of which lists may have many: numbers, None, True, False, what is empty.
_SINGLE: Final = re.compile(rb"[\x00-\x80\x90\xa0\xc0\xc2\xc3\xe0-\xff]*")
# First byte → how many bytes say the length, and how many stand between that and the content.
_RAW: Final = {
    0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0),  # binary
    0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),  # extensions, with a type
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),  # text
}  # fmt: skip
# First byte → how many bytes say the number of entries, and how many values an entry has.
_CONTAINERS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


class Skipping:
    """Skips one value.

    dropped: gets what is dropped of long texts, arrays and extensions, each as how many bytes
    before the end of the data it begins and ends. No value begins in there, so no key of a map.
    """

    def __init__(self, dropped: list[tuple[int, int]] | None = None) -> None:
        self._dropped = [] if dropped is None else dropped
        self._left = [1]  # values that are to come in each container that is open
        self._raw = 0  # bytes that are to come of what is dropped
        self._kept = b""

    def feed(self, more: bytes | memoryview) -> bytes | None:
        """Go on with the next bytes; return what follows the value, None while it goes on."""
        data, at = b"".join((self._kept, more)) if self._kept else more, 0
        self._kept = b""
        while self._left:
            if self._raw:
                dropped = min(self._raw, len(data) - at)
                self._dropped.append((len(data) - at, len(data) - at - dropped))
                at += dropped
                self._raw -= dropped
                if self._raw:
                    return None
            at, self._left[-1] = _skip(data, at, self._left[-1])
            if not self._left[-1]:
                self._left.pop()
            elif len(data) - at < _WINDOW:  # its end may come yet
                self._kept = bytes(data[at:])
                return None
            else:
                at = self._open(data, at)
        return bytes(data[at:])

    def _open(self, data: bytes | memoryview, at: int) -> int:
        """Go into the value at `at`; return where its content begins."""
        first = data[at]
        self._left[-1] -= 1
        if first in _RAW:
            size, between = _RAW[first]
            self._raw = int.from_bytes(data[at + 1 : at + 1 + size])
            return at + 1 + size + between
        if first in _CONTAINERS:
            size, per_entry = _CONTAINERS[first]
            count = int.from_bytes(data[at + 1 : at + 1 + size]) * per_entry
        else:  # one of 15 entries or less, and long all the same
            size, count = 0, (first & 0x0F) * (1 if first >= 0x90 else 2)
        self._left.append(count)
        if len(self._left) > LEVELS:
            raise BadFrame(f"A message in chunks has at most {LEVELS} levels.")
        return at + 1 + size


def _skip(data: bytes | memoryview, at: int, count: int) -> tuple[int, int]:
    """Skip up to `count` values that end in what is there; return where, and how many are left."""
    while count:
        run = _SINGLE.match(data, at, at + count)
        assert run is not None
        count -= run.end() - at
        at = run.end()
        end, left = _skip_window(data[at : at + _WINDOW], count)
        if not end:
            break
        at, count = at + end, left
    return at, count


def _skip_window(window: bytes | memoryview, count: int) -> tuple[int, int]:
    unpacker = msgpack.Unpacker(max_buffer_size=_WINDOW, read_size=len(window) or 1)
    unpacker.feed(window)
    end = 0
    try:
        while count:
            unpacker.skip()
            end = unpacker.tell()
            count -= 1
    except msgpack.OutOfData:
        pass
    return end, count
