"""A span for each HTTP request and each connection that is opened; only where tracing is on."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypha_cluster import log_fields
from hypha_cluster.web.middleware.request_ids import path_told

_W3C: Final = TraceContextTextMapPropagator()
_UNTRACED: Final = ("/health/", "/metrics")
_STARTS: Final = (*("http.response.start", "websocket.accept", "websocket.http.response.start"),)
_FAULT: Final = 500


class TraceRequests:
    """Continues the trace that a request comes with in its `traceparent`."""

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._is_probe(scope):
            await self._app(scope, receive, send)
            return
        tracer: Tracer = scope["app"].state.tracer
        span = tracer.start_span(
            scope.get("method", "CONNECT"),
            _W3C.extract(dict(Headers(scope=scope)), Context()),
            SpanKind.SERVER,
            {"url.path": path_told(scope), "hypha.request_id": log_fields.request_id.get()},
        )

        async def sending(message: Message) -> None:
            if message["type"] in _STARTS:
                _describe(span, scope, message)
            await send(message)
            if message["type"] in _STARTS and scope["type"] == "websocket":
                span.end()  # calls over the connection have traces of their own

        with use_span(span, end_on_exit=True):
            await self._app(scope, receive, sending)

    def _is_probe(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return path.removeprefix(self._base_path).startswith(_UNTRACED)


def _describe(span: Span, scope: Scope, answer: Message) -> None:
    """Add the route and the status to a span, which are known once the request is answered."""
    route = _route(scope)
    span.update_name(f"{scope.get('method', 'CONNECT')} {route}".rstrip())
    span.set_attribute("http.route", route)
    status = answer.get("status", 101)
    span.set_attribute("http.response.status_code", status)
    if status >= _FAULT:
        span.set_status(Status(StatusCode.ERROR))


def _route(scope: Scope) -> str:
    """The path of the route of a request, with `{name}` in the place of each value."""
    endpoint = scope.get("endpoint")
    for route in scope["app"].routes:
        if endpoint is not None and getattr(route, "endpoint", None) == endpoint:
            path: str = route.path
            return path
    return ""
