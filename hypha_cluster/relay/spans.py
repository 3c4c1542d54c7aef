"""The spans of service calls, by OpenTelemetry; imported only where tracing is on.

The context of a trace travels with a call as `traceparent` (W3C) in its envelope, and the callee
gets it too.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hypha_cluster.protocol import guard
from hypha_cluster.protocol.envelope import Frame, trace_parent, with_trace_parent
from hypha_cluster.protocol.limits import SHOWN, TRACED_CALLS

_W3C: Final = TraceContextTextMapPropagator()
_SERVICES: Final = "services."


_Key = tuple[str, str, str]  # callee, caller, session


class _OpenSpans:
    """Spans that wait for the answer to their call."""

    def __init__(self) -> None:
        self._spans: OrderedDict[_Key, Span] = OrderedDict()

    def add(self, key: _Key, span: Span) -> None:
        self._spans[key] = span
        if len(self._spans) > TRACED_CALLS:
            self._spans.popitem(last=False)[1].end()

    def end(self, key: _Key, *, failed: bool) -> None:
        span = self._spans.pop(key, None)
        if span is not None:
            if failed:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

    def end_all_of(self, client: str) -> None:
        for key in [key for key in self._spans if client in key[:2]]:
            self.end(key, failed=False)


class CallTracer:
    """Begins and ends the spans of calls of services; nothing else is traced."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._taken = _OpenSpans()
        self._delivered = _OpenSpans()

    # Calls of clients.

    def take(self, read: Frame, caller: str, frame: bytes, *, waits: bool) -> bytes:
        """A client of this node makes a call; return its frame as it travels on."""
        envelope = read.envelope
        if not _is_traced(envelope):
            return frame
        callee = envelope["to"]
        span = self._tracer.start_span(
            _name("call", envelope["method"]),
            _context(envelope.get("traceparent")),
            SpanKind.SERVER,
            {**_attributes(envelope["method"], callee), "hypha.caller": caller},
        )
        if waits:
            self._taken.add((callee, caller, envelope["session"]), span)
        else:
            span.end()
        return with_trace_parent(frame, _parent_of(span))

    def relay(self, frame: bytes, target: str) -> bytes:
        """A frame goes over the bus; its delivery is a part of that."""
        parent = trace_parent(frame)
        if parent is None:
            return frame
        span = self._tracer.start_span(
            "relay", _context(parent), SpanKind.PRODUCER, {"hypha.target": target}
        )
        span.end()
        return with_trace_parent(frame, _parent_of(span))

    def deliver(self, envelope: dict[str, Any], target: str, frame: bytes) -> bytes:
        """A frame came over the bus for a client of this node."""
        parent = trace_parent(frame)
        if parent is None or not _is_traced(envelope):
            return frame
        span = self._tracer.start_span(
            _name("deliver", envelope["method"]),
            _context(parent),
            SpanKind.CONSUMER,
            _attributes(envelope["method"], target),
        )
        session = envelope.get("session")
        if session is None:
            span.end()
        else:
            self._delivered.add((target, envelope["from"], session), span)
        return with_trace_parent(frame, _parent_of(span))

    def answered(self, callee: str, caller: str, method: str) -> None:
        """A call is answered, by its callee or by the hub in its place."""
        session, _, verb = method.rpartition(".")
        for spans in (self._taken, self._delivered):
            spans.end((callee, caller, session), failed=verb == "reject")

    def forget(self, client: str) -> None:
        """A client is not here any more, so this node does not see how its calls end."""
        self._taken.end_all_of(client)
        self._delivered.end_all_of(client)

    # Calls of and to the hub.

    @contextmanager
    def place(self, envelope: dict[str, Any]) -> Iterator[None]:
        """The hub calls a client, perhaps in the course of a request."""
        if not _is_traced(envelope):
            yield
            return
        method = envelope["method"]
        with self._tracer.start_as_current_span(
            _name("call", method),
            kind=SpanKind.CLIENT,
            attributes=_attributes(method, envelope["to"]),
        ):
            yield

    def send(self, envelope: dict[str, Any], frame: bytes) -> bytes:
        """A call of the hub's, as it travels on."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        if not carrier or not _is_traced(envelope):
            return frame
        return with_trace_parent(frame, carrier["traceparent"])

    @contextmanager
    def answer(self, envelope: dict[str, Any], source: str) -> Iterator[None]:
        """The hub is called by a client."""
        span = self._tracer.start_span(
            _name("call", envelope["method"]),
            _context(envelope.get("traceparent")),
            SpanKind.SERVER,
            {**_attributes(envelope["method"], "hub"), "hypha.caller": source},
        )
        with use_span(span, end_on_exit=True):
            yield


def _is_traced(envelope: dict[str, Any]) -> bool:
    method = envelope["method"] if envelope.get("type") == "method" else ""
    return method.startswith(_SERVICES) and not method.startswith(guard.CACHE)


def _context(parent: object) -> Context:
    """The context that a `traceparent` names; an empty one if it is none."""
    return _W3C.extract({"traceparent": parent} if isinstance(parent, str) else {}, Context())


def _parent_of(span: Span) -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]


def _name(what: str, method: str) -> str:
    return f"{what} {method.removeprefix(_SERVICES)[:SHOWN]}"


def _attributes(method: str, target: str) -> dict[str, str]:
    service, _, function = method.removeprefix(_SERVICES).partition(".")
    return {
        "rpc.system": "imjoy-rpc",
        "rpc.service": service,
        "rpc.method": function,
        "hypha.target": target,
    }
