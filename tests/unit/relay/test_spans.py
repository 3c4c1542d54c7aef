"""A call of a service has a span on each node that it passes, one within the other."""

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack, trace_parent
from hypha_cluster.protocol.limits import TRACED_CALLS
from hypha_cluster.relay.spans import CallTracer

ME, YOU = "ann/me", "bob/you"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
READER = FrameReader(100_000)
METHOD = "services.tool.run"


class Scene:
    """A tracer, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = CallTracer(provider.get_tracer("test"))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def take(self, method: str = METHOD, *, waits: bool = True, **envelope: Any) -> bytes:
        session = envelope.pop("session", "s")
        fields = {**rpc.call_envelope(YOU, method, session), **envelope}
        body = pack({"args": []})
        sealed = Seal(ME, {}).call(fields, body)
        return self.tracer.take(READER.read(pack(fields) + body), ME, sealed, waits=waits)


def parent_of(frame: bytes) -> str:
    found = trace_parent(frame)
    assert found is not None
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_call_has_a_span_until_it_is_answered(scene: Scene) -> None:
    frame = scene.take(traceparent=PARENT)
    assert scene.spans == []

    scene.tracer.answered(YOU, ME, "s.resolve")

    (span,) = scene.spans
    assert (span.name, span.kind) == ("call tool.run", SpanKind.SERVER)
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert span.attributes == {
        "rpc.system": "imjoy-rpc",
        "rpc.service": "tool",
        "rpc.method": "run",
        "hypha.target": YOU,
        "hypha.caller": ME,
    }
    assert parent_of(frame).split("-")[1:3] == [TRACE, f"{span.context.span_id:016x}"]


def test_who_brings_no_trace_begins_one(scene: Scene) -> None:
    first, second = (scene.take(traceparent=each, waits=False) for each in ("no trace", 5))

    assert parent_of(first).split("-")[1] != parent_of(second).split("-")[1]
    assert [span.parent for span in scene.spans] == [None, None]


def test_a_call_that_nobody_waits_for_is_over_at_once(scene: Scene) -> None:
    scene.take(waits=False)

    assert scene.names == ["call tool.run"]


def test_a_reject_is_a_failure(scene: Scene) -> None:
    for session, verb in (("a", "resolve"), ("b", "reject")):
        scene.take(session=session)
        scene.tracer.answered(YOU, ME, f"{session}.{verb}")

    assert [span.status.status_code for span in scene.spans] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
    ]


@pytest.mark.parametrize(
    "method", ["s.resolve", "abc.callbacks.run", "services.built-in.message_cache.append"]
)
def test_what_is_no_call_of_a_service_is_left_as_it_is(scene: Scene, method: str) -> None:
    frame = scene.take(method, waits=False)

    assert trace_parent(frame) is None
    assert scene.tracer.relay(frame, YOU) is frame
    assert scene.tracer.deliver(READER.read(frame).envelope, YOU, frame) is frame
    assert scene.spans == []


def test_a_call_over_the_bus_is_one_line_of_spans(scene: Scene) -> None:
    there = Scene()
    taken = scene.take()
    relayed = scene.tracer.relay(taken, YOU)
    delivered = there.tracer.deliver(READER.read(relayed).envelope, YOU, relayed)

    there.tracer.answered(YOU, ME, "s.resolve")
    scene.tracer.answered(YOU, ME, "s.resolve")

    (relay, call), (deliver,) = scene.spans, there.spans
    assert (relay.name, relay.kind) == ("relay", SpanKind.PRODUCER)
    assert (deliver.name, deliver.kind) == ("deliver tool.run", SpanKind.CONSUMER)
    assert relay.parent is not None
    assert deliver.parent is not None
    assert relay.parent.span_id == call.context.span_id
    assert deliver.parent.span_id == relay.context.span_id
    assert parent_of(delivered).split("-")[2] == f"{deliver.context.span_id:016x}"


def test_what_is_not_seen_to_end_ends_with_its_client(scene: Scene) -> None:
    scene.take()

    scene.tracer.forget("somebody/else")
    assert scene.spans == []
    scene.tracer.forget(YOU)
    scene.tracer.answered(YOU, ME, "s.resolve")

    assert scene.names == ["call tool.run"]


def test_no_more_spans_wait_than_may(scene: Scene) -> None:
    for number in range(TRACED_CALLS + 3):
        scene.take(session=f"{number}")

    assert len(scene.spans) == 3


def test_a_call_of_the_hubs_continues_what_it_is_made_for(scene: Scene) -> None:
    envelope = rpc.call_envelope(YOU, METHOD, "s")
    frame = Seal("bob/~node", {}).call(envelope, pack({"args": []}))

    with scene.tracer.place(envelope):
        sent = scene.tracer.send(envelope, frame)
    outside = scene.tracer.send(envelope, frame)

    (span,) = scene.spans
    assert (span.name, span.kind) == ("call tool.run", SpanKind.CLIENT)
    assert parent_of(sent).split("-")[2] == f"{span.context.span_id:016x}"
    assert trace_parent(outside) is None


def test_a_call_of_the_hub_is_over_with_its_answer(scene: Scene) -> None:
    envelope = {**rpc.call_envelope(YOU, "services.manager.echo", "s"), "traceparent": PARENT}

    with scene.tracer.answer(envelope, ME):
        assert scene.spans == []

    (span,) = scene.spans
    assert (span.name, span.kind) == ("call manager.echo", SpanKind.SERVER)
    assert f"{span.context.trace_id:032x}" == TRACE


def test_an_answer_of_the_hub_that_is_no_call_has_no_span_of_its_own(scene: Scene) -> None:
    envelope = rpc.call_envelope(YOU, "s.resolve")

    with scene.tracer.place(envelope):
        pass

    assert scene.spans == []
