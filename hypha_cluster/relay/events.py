"""What nodes tell each other, as bytes: an array with a version, a kind, and what it is about.

In a rolling upgrade nodes of two releases hear each other. So a reader drops what it does not
know, and says so; and what a node of the release before has to understand is written as that
release reads it: without a version.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.protocol.envelope import pack

VERSION: Final = 1

LEFT: Final = "left"  # address: a client is gone for good
MISJUDGED: Final = "misjudged"  # node: it was taken to be dead, and has to say who is attached
REQUEST: Final = "ousted"  # address, holder, asker: see handover.py
MOVED: Final = "moved"  # address, holder, asker, ms in which what it was asked may be answered
ANSWER: Final = "handed over"  # holder
ENDED: Final = "ended"  # node: it is gone, with all that clients have called at it itself
CHANGED: Final = "changed"  # workspace: a client of it offers other services than before
TAKEN: Final = "taken"  # number, verdict: what became of a frame that was posted, see posts.py

CAME: Final = "came"  # source, method, session: a message in chunks, for a client that has got it
POSTED: Final = "posted"  # key, asker, number, frame: what a client has sent, see posts.py
UNSEEN: Final = "unseen"  # program, number, frame: what a client may not have got, see tail.py

# How many texts each kind of event comes with.
_ARITY: Final = {
    LEFT: 1,
    MISJUDGED: 1,
    REQUEST: 3,
    MOVED: 4,
    ANSWER: 1,
    ENDED: 1,
    CHANGED: 1,
    TAKEN: 2,
}
# What nodes without versions understand; anything else they ignore, if it is an array.
_UNVERSIONED: Final = frozenset((LEFT, MISJUDGED, REQUEST, ANSWER))


class Event(NamedTuple):
    """What a node tells others. about: texts, as many as its kind has."""

    kind: str
    about: Sequence[str]


def write_event(kind: str, *about: str) -> bytes:
    if kind in _UNVERSIONED:
        return pack([kind, *about])
    return pack([VERSION, kind, *about])


def read_event(data: bytes) -> Event | None:
    """An event; None for what is none, or is of a kind or version that this node does not know."""
    values = _read_array(data)
    if values and type(values[0]) is int:
        version, *values = values
        if version != VERSION:
            return None
    if not values:
        return None
    kind, *about = values
    if type(kind) is not str or _ARITY.get(kind) != len(about):
        return None
    return Event(kind, about) if all(type(each) is str for each in about) else None


def write_calls(calls: Sequence[tuple[str, str, str]]) -> bytes:
    """Calls for which a client waits, for the node where it will be: target, session, reject."""
    return pack(calls)


def read_calls(data: bytes) -> list[tuple[str, str, str]] | None:
    """The same as they were written; None for what is none."""
    values, calls = _read_array(data), []
    if values is None:
        return None
    for each in values:
        if type(each) is not list or len(each) != 3 or any(type(text) is not str for text in each):
            return None
        calls.append((each[0], each[1], each[2]))
    return calls


class Note(NamedTuple):
    """What a message in chunks is, for the node of the client that gets it.

    source: the address of its sender. session: where the sender waits for the answer; "" if it does
    not wait.
    """

    source: str
    method: str
    session: str


def write_note(note: Note) -> bytes:
    return pack([VERSION, CAME, *note])


def read_note(data: bytes) -> Note | None:
    """The same as it was written; None for what is none."""
    values = _read_array(data)
    if values is None or values[:2] != [VERSION, CAME] or len(values) != 5:
        return None
    source, method, session = values[2:]
    if type(source) is not str or type(method) is not str or type(session) is not str:
        return None
    return Note(source, method, session)


class Posted(NamedTuple):
    """A frame that a client has posted at another node than the one that has its event stream.

    key: of the stream; whoever posts has proved to know it. asker: the node that is told what
    becomes of the frame. number: the name that this node has given it.
    """

    key: str
    asker: str
    number: str
    frame: bytes


def write_posted(posted: Posted) -> bytes:
    return pack([VERSION, POSTED, *posted])


def read_posted(data: bytes) -> Posted | None:
    """The same as it was written; None for what is none."""
    values = _read_array(data)
    if values is None or values[:2] != [VERSION, POSTED] or len(values) != 6:
        return None
    key, asker, number, frame = values[2:]
    if any(type(text) is not str for text in (key, asker, number)) or type(frame) is not bytes:
        return None
    return Posted(key, asker, number, frame)


class Unseen(NamedTuple):
    """A frame that a program was sent by an event stream which broke, perhaps before it came.

    number: how many it was sent before, and this one.
    """

    program: str
    number: int
    frame: bytes


def write_unseen(unseen: Unseen) -> bytes:
    return pack([VERSION, UNSEEN, *unseen])


def read_unseen(data: bytes) -> Unseen | None:
    """The same as it was written; None for what is none."""
    values = _read_array(data)
    if values is None or values[:2] != [VERSION, UNSEEN] or len(values) != 5:
        return None
    program, number, frame = values[2:]
    if type(program) is not str or type(number) is not int or type(frame) is not bytes:
        return None
    return Unseen(program, number, frame)


def _read_array(data: bytes) -> list[Any] | None:
    try:
        values = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException):
        return None
    return values if type(values) is list else None
