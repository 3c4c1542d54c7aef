"""A receiver of traces, as an operator has one: OTLP over HTTP."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan, Status

from tests.gateways import POLL, SECOND


class Span(NamedTuple):
    """What a gateway has sent; `node` is its name."""

    node: str
    trace: str
    id: str
    parent: str
    name: str
    kind: str
    failed: bool
    seconds: float
    attributes: dict[str, str]


class Collector:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20 * SECOND
        while not reached():
            names = [(span.node, span.name) for span in self.spans]
            assert time.monotonic() < deadline, f"only these came: {names}"
            time.sleep(POLL)


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        _span(_texts(resource.resource.attributes)["service.instance.id"], span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(node: str, span: WireSpan) -> Span:
    return Span(
        node=node,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=_texts(span.attributes),
    )


def _texts(attributes: "list[KeyValue]") -> dict[str, str]:
    return {item.key: item.value.string_value for item in attributes}
