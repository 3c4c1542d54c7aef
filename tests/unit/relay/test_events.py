"""What nodes tell each other: read if it is understood, else dropped."""

import random

import pytest

from hypha_cluster.protocol.envelope import pack
from hypha_cluster.relay.events import (
    ANSWER,
    CHANGED,
    LEFT,
    MISJUDGED,
    MOVED,
    REQUEST,
    VERSION,
    Event,
    Note,
    Posted,
    Unseen,
    read_calls,
    read_event,
    read_note,
    read_posted,
    read_unseen,
    write_calls,
    write_event,
    write_note,
    write_posted,
    write_unseen,
)

ABOUT = {
    LEFT: ["ann/me"],
    MISJUDGED: ["gateway-1"],
    REQUEST: ["ann/me", "gateway-1#a.1", "gateway-2"],
    ANSWER: ["gateway-1#a.1"],
}


def test_a_change_of_services_says_its_version() -> None:
    data = write_event(CHANGED, "ann")

    assert data == pack([VERSION, CHANGED, "ann"])
    assert read_event(data) == Event(CHANGED, ["ann"])


def test_a_move_is_read_as_it_was_written() -> None:
    about = [*ABOUT[REQUEST], "2500"]

    assert read_event(write_event(MOVED, *about)) == Event(MOVED, about)


@pytest.mark.parametrize("kind", ABOUT)
def test_an_event_is_read_as_it_was_written(kind: str) -> None:
    assert read_event(write_event(kind, *ABOUT[kind])) == Event(kind, ABOUT[kind])


@pytest.mark.parametrize("kind", ABOUT)
def test_a_node_of_the_release_before_is_understood_and_understands(kind: str) -> None:
    before = pack([kind, *ABOUT[kind]])

    assert read_event(before) == Event(kind, ABOUT[kind])
    assert write_event(kind, *ABOUT[kind]) == before


@pytest.mark.parametrize("kind", ABOUT)
def test_a_version_may_be_said(kind: str) -> None:
    assert read_event(pack([VERSION, kind, *ABOUT[kind]])) == Event(kind, ABOUT[kind])


def test_a_kind_that_the_release_before_does_not_know_says_its_version() -> None:
    # That release takes the version for a kind that it does not know, and does nothing.
    assert write_event("something new", "ann") == pack([VERSION, "something new", "ann"])


ODD = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "cut short": pack([LEFT, "ann/me"])[:-1],
    "more behind it": pack([LEFT, "ann/me"]) + b"\x00",
    "an empty array": pack([]),
    "a text": pack("left"),
    "a number": pack(7),
    "a map": pack({"left": "ann/me"}),
    "too few": pack([LEFT]),
    "too many": pack([LEFT, "ann/me", "ann/you"]),
    "a number for a text": pack([LEFT, 7]),
    "a list for a text": pack([LEFT, ["ann/me"]]),
    "bytes for a text": pack([LEFT, b"ann/me"]),
    "a list for a kind": pack([[LEFT], "ann/me"]),
    "an unknown kind": pack(["something else", "ann/me"]),
    "another version": pack([VERSION + 1, LEFT, "ann/me"]),
    "a version alone": pack([VERSION]),
    "true for a version": pack([True, LEFT, "ann/me"]),
    "no unicode": b"\x92\xa4left\xa2\xff\xfe",
    "an extension": b"\xd4\x01\x00",
    "a long array that is not there": b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_not_understood_is_no_event(data: bytes) -> None:
    assert read_event(data) is None


def test_no_bytes_at_all_are_more_than_not_understood() -> None:
    chance = random.Random(9)
    whole = [write_event(kind, *about) for kind, about in ABOUT.items()]
    for _ in range(3_000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        event, calls = read_event(bytes(data)), read_calls(bytes(data))
        assert event is None or all(type(text) is str for text in event.about)
        assert calls is None or {len(call) for call in calls} <= {3}


def test_calls_are_read_as_they_were_written() -> None:
    calls = [("ann/you", "s1", "s1.reject"), ("ann/him", "s2", "s2.reject")]

    assert read_calls(write_calls(calls)) == calls
    assert read_calls(write_calls([])) == []


@pytest.mark.parametrize(
    "data",
    [
        pack([["ann/you", "s1"]]),
        pack([["ann/you", "s1", 7]]),
        pack(["ann/you", "s1", "s1.reject"]),
        pack({"target": "ann/you"}),
        b"\xc1",
    ],
)
def test_what_is_not_understood_is_no_calls(data: bytes) -> None:
    assert read_calls(data) is None


# What a message in chunks is.


def test_a_note_is_read_as_it_was_written() -> None:
    note = Note("ann/me", "s.resolve", "")

    assert read_note(write_note(note)) == note


def test_a_note_is_taken_for_nothing_else() -> None:
    note = write_note(Note("ann/me", "services.s.f", "x"))

    assert read_calls(note) is None
    assert read_event(note) is None


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"\xc1",
        pack([]),
        pack([VERSION, "came"]),
        pack([VERSION, "came", "a", "b", 5]),
        pack([VERSION + 1, "came", "a", "b", "c"]),
        pack([VERSION, "left", "a", "b", "c"]),
        pack({"came": 1}),
        write_calls([("ann/you", "s", "s.reject")]),
        write_calls([]),
    ],
)
def test_what_is_no_note_is_none(odd: bytes) -> None:
    assert read_note(odd) is None


POST = Posted("key", "gateway-1", "17", b"\0frame")


def test_a_posted_frame_is_read_as_it_was_written() -> None:
    assert write_posted(POST) == pack([VERSION, "posted", *POST])
    assert read_posted(write_posted(POST)) == POST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack([2, "posted", *POST]),
        pack([VERSION, "posted", *POST, "more"]),
        pack([VERSION, "posted", "key", "gateway-1", "17"]),
        pack([VERSION, "posted", "key", "gateway-1", "17", "no bytes"]),
        pack([VERSION, "posted", "key", "gateway-1", 17, b"frame"]),
        write_note(Note("ann/me", "method", "session")),
        write_calls([("a/b", "session", "reject")]),
    ],
)
def test_what_is_no_posted_frame_is_none(data: bytes) -> None:
    assert read_posted(data) is None


SENT = Unseen("program", 17, b"\0frame")


def test_an_unseen_frame_is_read_as_it_was_written() -> None:
    assert write_unseen(SENT) == pack([VERSION, "unseen", *SENT])
    assert read_unseen(write_unseen(SENT)) == SENT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack([2, "unseen", *SENT]),
        pack([VERSION, "unseen", *SENT, "more"]),
        pack([VERSION, "unseen", "program", 17]),
        pack([VERSION, "unseen", "program", 17, "no bytes"]),
        pack([VERSION, "unseen", "program", "17", b"frame"]),
        pack([VERSION, "unseen", "program", True, b"frame"]),
        pack([VERSION, "unseen", None, 17, b"frame"]),
        write_posted(POST),
        write_calls([("a/b", "session", "reject")]),
    ],
)
def test_what_is_no_unseen_frame_is_none(data: bytes) -> None:
    assert read_unseen(data) is None
