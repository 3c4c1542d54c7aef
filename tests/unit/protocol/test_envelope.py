"""How frames are read and sealed."""

import contextlib
import random
import tracemalloc
from typing import Any

import msgpack
import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.envelope import (
    Frame,
    FrameReader,
    Seal,
    pack,
    trace_parent,
    with_trace_parent,
)
from hypha_cluster.protocol.limits import CLIENT_FRAME, CONTAINERS, FIELD

LIMIT = 100_000
USER = {"id": "me", "is_anonymous": True}
CALL = {"type": "method", "to": "w/c", "method": "services.s.f", "session": "x"}


@pytest.fixture
def reader() -> FrameReader:
    return FrameReader(LIMIT)


def unpack_all(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return list(unpacker)


def test_a_frame_has_two_halves(reader: FrameReader) -> None:
    raw = pack(CALL) + pack({"args": [1, b"x"]})

    frame = reader.read(raw)

    assert frame == Frame(CALL, {"args": [1, b"x"]}, pack({"args": [1, b"x"]}), raw)


def test_the_second_half_may_be_missing(reader: FrameReader) -> None:
    assert reader.read(pack(CALL)) == Frame(CALL, {}, b"", pack(CALL))


def test_what_follows_the_second_half_is_left_out(reader: FrameReader) -> None:
    frame = reader.read(pack(CALL) + pack({"args": []}) + pack({"from": "x"}))

    assert bytes(frame.body_bytes) == pack({"args": []})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        pack(CALL)[:-1],
        pack(CALL) + pack({"args": [1]})[:-1],
        pack(CALL) + b"\xc1",
        pack([1]),
        pack(CALL) + pack([1]),
        pack(CALL) + pack(None),
        pack(CALL) + pack({1: 2}),
        pack(CALL) + pack({"args": [{None: 1}]}),
        pack(CALL) + b"\x81\xa4args\x91\xa2\xff\xfe",
        pack(CALL) + b"\x81\xa4args\x91\xc7\x03\xff123",
        pack(CALL) + b"\x81\xa4args" + b"\x91" * 2_000 + b"\xc0",
        pack(CALL) + b"\x81\xa4args" + b"\xdd\x00\x01\x00\x00" * 1_000,
        pack(CALL) + b"\x81\xa4args\xdd\xff\xff\xff\xff",
    ],
)
def test_what_a_client_could_not_read_is_refused(reader: FrameReader, raw: bytes) -> None:
    with pytest.raises(BadFrame):
        reader.read(raw)

    assert reader.read(pack(CALL)).envelope == CALL


def test_a_frame_is_not_longer_than_allowed() -> None:
    reader = FrameReader(1_000)

    with pytest.raises(BadFrame, match="at most"):
        reader.read(pack(CALL) + pack({"args": [bytes(100_000)]}))


def test_a_frame_of_full_length_can_be_read_after_it_was_sealed() -> None:
    """A node checks what a client sent; the next one must be able to read what came of it."""
    reader = FrameReader(10_000)
    raw = pack(CALL) + pack({"args": [bytes(9_900)]})
    frame = reader.read(raw)

    sealed = Seal("w/me", {**USER, "scopes": ["x" * 100] * 100}).call(CALL, frame.body_bytes)

    assert len(sealed) > 20_000
    assert reader.read(sealed).body == frame.body


def test_frames_are_read_the_same_whatever_came_before(reader: FrameReader) -> None:
    """One unpacker reads them all, so nothing of a frame may be left for the next one."""
    rng = random.Random(1)
    good = [pack(CALL) + pack({"args": [bytes(rng.randrange(300))] * n}) for n in range(20)]
    expected = [FrameReader(LIMIT).read(raw) for raw in good]

    for _ in range(2_000):
        number = rng.randrange(len(good))
        if rng.random() < 0.5:
            cut = good[number][: rng.randrange(len(good[number]))]
            with contextlib.suppress(BadFrame):
                reader.read(cut + rng.choice((b"", b"\xc1", pack(5), pack({}) * 3)))
        assert reader.read(good[number]) == expected[number]


def test_a_seal_says_who_sent_a_call() -> None:
    forged = {**CALL, "from": "w/root", "user": {"id": "root"}, "ctx": {}, "admin": True}

    sealed = Seal("w/me", USER).call(forged, pack({"args": [1]}))

    assert unpack_all(sealed) == [{**CALL, "from": "w/me", "user": USER}, {"args": [1]}]


def test_a_seal_says_who_sent_a_message() -> None:
    forged = {"type": "news", "to": "w/c", "x": 1, "from": "w/root", "user": {}, "ctx": {}}

    sealed = Seal("w/me", USER).message(forged)

    expected = {"type": "news", "to": "w/c", "x": 1, "from": "w/me", "user": USER}
    assert unpack_all(sealed) == [expected]


@pytest.mark.parametrize("fields", [0, 12, 13, 14, 15, 16, 300, 65_534])
def test_a_message_may_have_any_number_of_fields(fields: int) -> None:
    message = {"type": "news", **{f"k{number}": number for number in range(fields)}}

    (sealed,) = unpack_all(Seal("w/me", USER).message(message))

    assert sealed == {**message, "from": "w/me", "user": USER}


def test_a_message_of_too_many_levels_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(BadFrame, match="cannot be written"):
        Seal("w/me", USER).message({"type": "news", "x": deep})


def test_the_envelope_of_a_sealed_frame_is_read_by_itself(reader: FrameReader) -> None:
    for length in (1, 1_000, 2_000, 2_100, 10_000):
        envelope = {**CALL, "method": "x" * length}
        sealed = Seal("w/me", USER).call(envelope, pack({"args": [bytes(5_000)]}))

        assert reader.read_envelope(sealed)["method"] == "x" * length


def test_a_trace_is_put_into_a_frame_found_and_replaced(reader: FrameReader) -> None:
    sealed = Seal("w/me", USER).call(CALL, pack({"args": [1]}))
    first, second = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")

    once = with_trace_parent(sealed, first)
    twice = with_trace_parent(once, second)

    assert [trace_parent(each) for each in (sealed, once, twice)] == [None, first, second]
    assert unpack_all(twice) == [
        {"traceparent": second, **CALL, "from": "w/me", "user": USER},
        {"args": [1]},
    ]
    assert reader.read_envelope(twice) == unpack_all(twice)[0]


# Many lists and maps.


def many(item: bytes, number: int) -> bytes:
    return pack(CALL) + b"\x81\xa4args\xdd" + number.to_bytes(4) + item * number


@pytest.mark.parametrize("item", [b"\x90", b"\x80", b"\x91\x90", b"\x92\x01\x02", b"\x81\xa1a\x80"])
def test_a_frame_with_more_lists_and_maps_than_any_client_sends_is_refused(item: bytes) -> None:
    reader = FrameReader(CLIENT_FRAME)

    with pytest.raises(BadFrame, match="at most 200,000 lists and maps"):
        reader.read(many(item, CONTAINERS + 1))


@pytest.mark.parametrize("filling", [b"x" * 500_000, bytes(range(256)) * 2_000])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_else_is_in_a_frame_hides_no_lists_and_maps(filling: bytes, is_first: bool) -> None:
    lists = b"\xdd" + (CONTAINERS - 1).to_bytes(4) + b"\x90" * (CONTAINERS - 1)
    parts = (pack(filling), lists) if is_first else (lists, pack(filling))

    with pytest.raises(BadFrame, match="at most 200,000 lists and maps"):
        FrameReader(CLIENT_FRAME).read(pack(CALL) + b"\x81\xa4args\x92" + b"".join(parts))


def test_a_frame_with_as_many_as_clients_may_send_is_read_as_it_is() -> None:
    reader = FrameReader(CLIENT_FRAME)
    points = [[number % 100, 1] for number in range(CONTAINERS - 3)]
    records = [{"id": number, "tags": []} for number in range(30_000)]

    for args in (points, records, [bytes(range(0x80, 0xA0)) * 10_000], ["ж" * 200_000]):
        frame = reader.read(pack(CALL) + pack({"args": args}))

        assert frame.envelope == CALL
        assert frame.body == {"args": args}
        assert bytes(frame.body_bytes) == pack({"args": args})


def test_maps_of_a_long_frame_that_has_few_are_counted() -> None:
    points = [[number / 7, number / 11] for number in range(12_000)]
    reader = FrameReader(CLIENT_FRAME)

    for args, maps in (([points], 2), ([points, {"a": {}}], 4), ([{}] * 10 + [points], 12)):
        assert reader.read(pack(CALL) + pack({"args": args})).maps == maps
    assert reader.read(pack(CALL) + pack({"args": [{}] * 200 + [points]})).maps is None


def test_a_refused_frame_costs_its_sender_only_what_was_read() -> None:
    reader = FrameReader(CLIENT_FRAME)
    promised = pack(CALL) + b"\x81\xa4args" + b"\xdc\x04\x00" * 100_000  # lists in lists
    frames = [many(b"\x80", 900_000), many(b"\x90", 900_000), promised]

    for raw in frames:
        tracemalloc.start()
        with pytest.raises(BadFrame):
            reader.read(raw)
        reader.salvage(raw)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 40 * len(raw)


def test_the_next_frame_is_read_as_ever() -> None:
    reader = FrameReader(CLIENT_FRAME)
    with pytest.raises(BadFrame):
        reader.read(many(b"\x80", 900_000))

    assert reader.read(pack(CALL) + pack({"args": [1]})).body == {"args": [1]}


# Telling the sender.


def test_of_a_frame_that_may_not_pass_only_what_tells_its_sender_is_read() -> None:
    reader = FrameReader(CLIENT_FRAME)
    promise = {"reject": {"_rmethod": "x.reject"}}
    body = {"args": [{1: 2, (): "x"}], "promise": promise, "junk": [[]] * 10_000}
    raw = pack({**CALL, "junk": [1]}) + pack(body)

    frame = reader.salvage(raw)

    assert frame == Frame(CALL, {"promise": promise}, b"", raw)


def test_of_two_promises_the_last_one_counts() -> None:
    one, two = ({"reject": {"_rmethod": f"{name}.reject"}} for name in "ab")
    body = b"\x82" + (pack("promise") + pack(one)) + (pack("promise") + pack(two))

    frame = FrameReader(LIMIT).salvage(pack(CALL) + body)

    assert frame is not None
    assert frame.body == {"promise": two}


def test_a_promise_that_is_too_long_is_not_read() -> None:
    raw = pack(CALL) + pack({"promise": {"reject": ["x" * FIELD]}})

    frame = FrameReader(LIMIT).salvage(raw)

    assert frame is not None
    assert frame.body == {}


def test_what_was_packed_leaves_no_room_taken() -> None:
    """A call over HTTP may have hundreds of megabytes, and its sender is a stranger."""
    value = {"args": ["x" * 20_000_000]}
    pack({})
    tracemalloc.start()
    try:
        pack(value)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2_000_000
    assert pack({"a": 1}) == b"\x81\xa1a\x01"
