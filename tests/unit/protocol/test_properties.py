"""What holds of every frame that passes, whoever made it: told by the decoder of a client."""

import contextlib

import msgpack
import pytest
from hypothesis import given, strategies as st

from hypha_cluster.errors import BadFrame, BadRequest, HubError
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import absolute, parse_service_id, workspace_of
from hypha_cluster.protocol.chunks import Assembler, parse_cache_call, split
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.envelope import (
    Frame,
    FrameReader,
    Seal,
    pack,
    trace_parent,
    with_trace_parent,
)
from hypha_cluster.protocol.guard import CACHE, check_path
from hypha_cluster.protocol.limits import CHUNK, CLIENT_FRAME
from hypha_cluster.protocol.references import Reference, References
from hypha_cluster.protocol.signatures import is_readable, parameters
from tests.frame_path import HOME, ME, USER, FramePath, Passed
from tests.passed import check_frame, check_whole
from tests.properties import PROPERTY
from tests.published_decoder import Receiver, keys_in
from tests.unit.protocol import forgeries
from tests.unit.protocol.forgeries import a_list, a_map, spelled

READER = FrameReader(CLIENT_FRAME)


def route(*frames: bytes) -> FramePath:
    path = FramePath()
    for frame in frames:
        path.route(frame)
    return path


# Nothing that is forbidden passes.


@PROPERTY
@given(forgeries.call())
def test_a_call_that_passes_is_its_senders_and_leads_nowhere_else(frame: bytes) -> None:
    for passed in route(frame).passed:
        check_frame(passed)


@PROPERTY
@given(forgeries.event())
def test_an_event_that_passes_is_its_senders(frame: bytes) -> None:
    for passed in route(frame).passed:
        check_frame(passed)


@PROPERTY
@given(forgeries.broken(st.one_of(forgeries.call(), forgeries.event())))
def test_what_is_broken_is_refused_or_harmless(frame: bytes) -> None:
    for passed in route(frame).passed:
        check_frame(passed)


def in_chunks(pieces: list[bytes], target: str = "bob/you") -> list[bytes]:
    """The calls by which a client sends a message."""

    def step(action: str, *args: object) -> bytes:
        envelope = {"type": "method", "to": target, "method": f"{CACHE}{action}"}
        return pack(envelope) + pack({"args": ["key", *args, False]})

    return [step("create"), *(step("append", piece) for piece in pieces), step("process")]


@PROPERTY
@given(st.one_of(forgeries.call(), forgeries.broken(forgeries.call())), st.data())
def test_a_message_in_chunks_that_passes_leads_nowhere_else(
    message: bytes, data: st.DataObject
) -> None:
    for whole in route(*in_chunks(data.draw(forgeries.pieces(message)))).whole:
        check_whole(whole)


@PROPERTY
@given(forgeries.call(), st.data())
def test_how_a_message_is_cut_changes_nothing(message: bytes, data: st.DataObject) -> None:
    whole = route(*in_chunks([message])).whole
    in_pieces = route(*in_chunks(data.draw(forgeries.pieces(message)))).whole

    assert whole == in_pieces


@PROPERTY
@given(st.lists(forgeries.call() | forgeries.event(), max_size=3))
def test_who_has_no_rights_sends_nothing_that_asks_for_them(frames: list[bytes]) -> None:
    path = FramePath(has_rights=False)
    for frame in frames:
        path.route(frame)

    for passed in path.passed:
        assert not passed.asked
        check_frame(passed)


@PROPERTY
@given(forgeries.values())
def test_what_the_hub_passes_on_of_a_service_stays_in_its_workspace(packed: bytes) -> None:
    try:
        value = rpc.relayed(msgpack.unpackb(packed), HOME)
    except (BadRequest, BadFrame, ValueError, msgpack.UnpackException):
        return

    receiver = Receiver("bob/you")
    envelope = {"type": "method", "from": "bob/hub", "to": "bob/you", "method": "x"}
    heard = receiver.take(pack(envelope) + pack({"args": [value]}))
    for function in heard.functions:
        assert isinstance(function.method, str)
        check_path(function.method)
        assert workspace_of(str(function.target)) == HOME


# What is permitted passes as it is.

OWN = a_map(
    [(spelled("_rtype"), spelled("method")), (spelled("_rtarget"), spelled("me"))]
    + [(spelled("_rmethod"), spelled("services.tool.run"))]
)
PLAIN = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1)),
        *(st.floats(allow_nan=False), st.text(max_size=9), st.binary(max_size=9)),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5).filter(lambda key: key != "__proto__"), inner)
    ),
    max_leaves=12,
).map(pack)
GOOD = st.lists(PLAIN | st.just(OWN), max_size=4).map(a_list)


@PROPERTY
@given(GOOD, st.sampled_from(("you", "ann/you")), st.booleans())
def test_what_is_permitted_passes_unchanged(args: bytes, to: str, waits: bool) -> None:
    sent = [(spelled("args"), args)]
    if waits:
        sent.append((spelled("promise"), pack(rpc.promise("me", "s"))))
    envelope = {"type": "method", "to": to, "method": "services.tool.run", "session": "s"}

    (passed,) = route(pack(envelope) + a_map(sent)).passed

    assert passed.sealed.endswith(a_map(sent))
    assert READER.read(passed.sealed).envelope == {
        **{**envelope, "to": "ann/you"},
        **{"from": ME, "user": USER.to_wire()},
    }
    assert not passed.asked


@PROPERTY
@given(GOOD, st.data())
def test_what_is_permitted_passes_in_chunks_too(args: bytes, data: st.DataObject) -> None:
    envelope = {"type": "method", "to": "ann/you", "method": "services.tool.run", "session": "s"}
    message = pack(envelope) + a_map([(spelled("args"), args)])

    (whole,) = route(*in_chunks(data.draw(forgeries.pieces(message)), "ann/you")).whole

    assert whole.message == message


# It refuses by its own words, whatever it gets.


@PROPERTY
@given(st.binary(max_size=200) | forgeries.broken(forgeries.call() | forgeries.event()))
def test_only_refusals_are_raised(data: bytes) -> None:
    reader = FrameReader(CLIENT_FRAME)
    reader.salvage(data)
    for attempt in (
        lambda: reader.read(data),
        lambda: reader.read_envelope(data),
        lambda: IMJOY.check_message(reader.read(data)),
        lambda: IMJOY.check_call(reader.read(data), ME, "bob/you"),
        lambda: parse_cache_call(of_cache(reader.read(data))),
        lambda: References(ME, "bob/you").feed(data),
    ):
        with contextlib.suppress(HubError):
            attempt()

    sound = pack({"type": "method", "to": "x", "method": "s.f"}) + pack({"args": []})
    assert reader.read(sound).body == {"args": []}, "what was wrong is over"


def of_cache(frame: Frame) -> Frame:
    """A call of a message cache, which is known by its method."""
    frame.envelope["method"] = f"{CACHE}append"
    return frame


@PROPERTY
@given(st.text(max_size=60))
def test_texts_are_taken_apart_without_an_error(text: str) -> None:
    parse_service_id(text)
    parameters(text)
    is_readable(text)
    absolute(text, HOME)
    with contextlib.suppress(BadFrame):
        check_path(text)


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("create", "append", "process", "remove")),
            st.text(max_size=2),
            st.binary(max_size=30),
        ),
        max_size=12,
    )
)
def test_the_hub_keeps_no_more_of_messages_than_it_may(steps: list[tuple[str, str, bytes]]) -> None:
    assembler = Assembler(max_size=40)
    for action, key, data in steps:
        envelope = {"type": "method", "to": "x", "method": f"{CACHE}{action}"}
        args = [key, data] if action == "append" else [key]
        try:
            whole = assembler.take(
                ME, parse_cache_call(READER.read(pack(envelope) + pack({"args": args})))
            )
        except BadFrame:
            continue
        assert len(whole or b"") <= 40


# What the hub writes, it reads.


@PROPERTY
@given(st.binary(max_size=40), st.binary(max_size=3))
def test_the_chunks_of_a_message_are_the_message(body: bytes, head: bytes) -> None:
    large = body * (CHUNK // 20)

    chunks = list(split(head, memoryview(large)))

    assert b"".join(chunks) == head + large
    assert all(len(chunk) <= CHUNK for chunk in chunks)


@PROPERTY
@given(PLAIN, st.integers(0, 2**64), st.integers(0, 2**64))
def test_a_frame_keeps_its_trace(value: bytes, trace: int, other: int) -> None:
    parents = [f"00-{number:032x}-{number % 2**64:016x}-01" for number in (trace, other)]
    envelope = {"type": "method", "to": "bob/you", "method": "services.tool.run"}
    body = a_map([(spelled("args"), a_list([value]))])
    sealed = Seal(ME, USER.to_wire()).call(envelope, body)

    traced = with_trace_parent(with_trace_parent(sealed, parents[0]), parents[1])

    assert trace_parent(sealed) is None
    assert trace_parent(traced) == parents[1]
    read = READER.read(traced)
    assert read.envelope.pop("traceparent") == parents[1]
    assert read.envelope == READER.read(sealed).envelope == READER.read_envelope(sealed)
    assert read.body_bytes == body


# What all that is told by.


def sealed(body: bytes, source: str = ME) -> bytes:
    envelope = {"type": "method", "to": "bob/you", "method": "services.tool.run"}
    return Seal(source, USER.to_wire()).call(envelope, body)


def foreign() -> bytes:
    return pack({"_rtype": "method", "_rtarget": "bob/x", "_rmethod": "services.closed.delete"})


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (pack({"args": [], "from": "bob/x"}), "from"),
        (pack({"args": [], "user": {}}), "user"),
        (pack({"args": [], "method": "a.__class__"}), "method"),
        (pack({"args": [{"__proto__": 1}]}), "__proto__"),
        (a_map([(spelled("args"), a_list([foreign()]))]), "services.closed"),
        (pack({"args": [], "promise": {"resolve": msgpack.unpackb(foreign()), "reject": 1}}), "x"),
        (pack({"args": [b"x" * 1_100_000]}), ""),
    ],
)
def test_the_decoder_sees_what_should_not_have_passed(body: bytes, wrong: str) -> None:
    with pytest.raises((AssertionError, msgpack.BufferFull)):
        check_frame(Passed("bob/you", sealed(body), frozenset()))


def test_the_decoder_finds_functions_that_were_asked_for() -> None:
    body = a_map([(spelled("args"), a_list([foreign()]))])
    asked = frozenset({Reference("bob/x", "closed")})

    check_frame(Passed("bob/you", sealed(body), asked | {Reference("bob/you", "tool", True)}))
    assert "_rtarget" in keys_in(sealed(body))
