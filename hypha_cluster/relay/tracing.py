"""Traces of service calls, by OpenTelemetry; imported only where tracing is on.

A call has a span where it is taken, one where it is relayed to another node and one where it is
delivered there. The context travels with it as `traceparent` (W3C) in its envelope, and the callee
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
from hypha_cluster.protocol.envelope import trace_parent, with_trace_parent

_W3C: Final = TraceContextTextMapPropagator()
_SERVICES: Final = "services."
_LONGEST_NAME: Final = 100  # characters
MANY: Final = 10_000  # deliveries that wait for their answers


class CallTrace:
    """The span of a call, which ends with its answer."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, *, failed: bool) -> None:
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class CallTracer:
    """Begins and ends the spans of calls; what is no call of a service is not traced."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        # (callee, caller, session) → the delivery of that call
        self._delivered: OrderedDict[tuple[str, str, str], CallTrace] = OrderedDict()

    # Calls of clients.

    def take(
        self, envelope: dict[str, Any], source: str, target: str, sealed: bytes
    ) -> tuple[CallTrace | None, bytes]:
        """A client of this node makes a call; answer the frame as it travels on."""
        if not _is_traced(envelope):
            return None, sealed
        span = self._tracer.start_span(
            _name("call", envelope["method"]),
            _context(envelope.get("traceparent")),
            SpanKind.SERVER,
            {**_attributes(envelope["method"], target), "hypha.caller": source},
        )
        return CallTrace(span), with_trace_parent(sealed, _parent_of(span))

    def relay(self, sealed: bytes, target: str) -> bytes:
        """A frame goes over the bus; its delivery is a part of that."""
        parent = trace_parent(sealed)
        if parent is None:
            return sealed
        span = self._tracer.start_span(
            "relay", _context(parent), SpanKind.PRODUCER, {"hypha.target": target}
        )
        span.end()
        return with_trace_parent(sealed, _parent_of(span))

    def deliver(self, envelope: dict[str, Any], target: str, sealed: bytes) -> bytes:
        """A frame came over the bus for a client of this node."""
        parent = trace_parent(sealed)
        if parent is None or not _is_traced(envelope):
            return sealed
        span = self._tracer.start_span(
            _name("deliver", envelope["method"]),
            _context(parent),
            SpanKind.CONSUMER,
            _attributes(envelope["method"], target),
        )
        trace, session = CallTrace(span), envelope.get("session")
        if session is None:
            trace.end(failed=False)
        else:
            self._delivered[target, envelope["from"], session] = trace
            if len(self._delivered) > MANY:
                self._delivered.popitem(last=False)[1].end(failed=True)
        return with_trace_parent(sealed, _parent_of(span))

    def answered(self, callee: str, caller: str, session: str, *, failed: bool) -> None:
        """A client of this node answers a call."""
        trace = self._delivered.pop((callee, caller, session), None)
        if trace is not None:
            trace.end(failed=failed)

    def forget(self, callee: str) -> None:
        """A client is gone; it answers nothing more."""
        for key in [key for key in self._delivered if key[0] == callee]:
            self._delivered.pop(key).end(failed=True)

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

    def send(self, envelope: dict[str, Any], sealed: bytes) -> bytes:
        """A call of the hub's, as it travels on."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        if not carrier or not _is_traced(envelope):
            return sealed
        return with_trace_parent(sealed, carrier["traceparent"])

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
    method = envelope.get("method", "")
    return method.startswith(_SERVICES) and not method.startswith(guard.CACHE)


def _context(parent: object) -> Context:
    """What a `traceparent` says; nothing if it is none."""
    return _W3C.extract({"traceparent": parent} if isinstance(parent, str) else {}, Context())


def _parent_of(span: Span) -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]


def _name(what: str, method: str) -> str:
    return f"{what} {method.removeprefix(_SERVICES)[:_LONGEST_NAME]}"


def _attributes(method: str, target: str) -> dict[str, str]:
    service, _, function = method.removeprefix(_SERVICES).partition(".")
    return {
        "rpc.system": "imjoy-rpc",
        "rpc.service": service,
        "rpc.method": function,
        "hypha.target": target,
    }
