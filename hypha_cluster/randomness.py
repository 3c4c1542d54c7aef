"""Names that nobody can guess, made many at a time: asking the kernel for each costs more."""

import os
from typing import Final

_BYTES: Final = 16  # of a name: 128 bits
_AT_ONCE: Final = 256  # names

_names: Final[list[str]] = []
os.register_at_fork(after_in_child=_names.clear)  # or two processes would have the same


def unguessable() -> str:
    """A name of 32 hexadecimal digits that has never been given out."""
    try:
        return _names.pop()  # one step, so that no two threads get the same
    except IndexError:
        digits = os.urandom(_BYTES * _AT_ONCE).hex()
        width = 2 * _BYTES
        _names.extend(digits[at : at + width] for at in range(width, len(digits), width))
        return digits[:width]
