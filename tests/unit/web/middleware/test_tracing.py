"""A request has a span with the name of its route, within the trace that it comes with."""

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from hypha_cluster.web.middleware.tracing import TraceRequests

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


class Scene:
    """An application that is traced, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        app = Starlette(
            routes=[
                Route("/{workspace}/services", _answer),
                Route("/broken", _break),
                Route("/health/live", _answer),
                WebSocketRoute("/ws", self._talk),
            ]
        )
        app.add_middleware(TraceRequests, base_path="/base")
        app.state.tracer = provider.get_tracer("test")
        self.client = TestClient(app, raise_server_exceptions=False)
        self.while_open: list[int] = []

    async def _talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.while_open.append(len(self.spans))
        await websocket.close()

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def one(self) -> tuple[str, dict[str, Any]]:
        (span,) = self.spans
        return span.name, dict(span.attributes or {})


async def _answer(request: Request) -> Response:
    return PlainTextResponse("fine")


async def _break(request: Request) -> Response:
    return PlainTextResponse("a fault", 500)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_span_has_the_name_of_the_route_and_not_what_was_in_its_place(scene: Scene) -> None:
    scene.client.get("/ann/services", headers=TOLD)

    name, about = scene.one()
    assert name == "GET /{workspace}/services"
    assert about["http.route"] == "/{workspace}/services"
    assert about["http.response.status_code"] == 200
    (span,) = scene.spans
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN


def test_what_leads_nowhere_has_no_route(scene: Scene) -> None:
    scene.client.get("/nowhere")

    name, about = scene.one()
    assert (name, about["http.route"], about["http.response.status_code"]) == ("GET", "", 404)
    (span,) = scene.spans
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET


def test_a_fault_of_the_hub_is_a_failure(scene: Scene) -> None:
    scene.client.get("/broken")

    (span,) = scene.spans
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("path", ["/health/live", "/base/health/live", "/metrics"])
def test_probes_are_not_traced(scene: Scene, path: str) -> None:
    scene.client.get(path)

    assert scene.spans == []


def test_the_span_of_a_connection_ends_when_it_is_open(scene: Scene) -> None:
    with scene.client.websocket_connect("/ws"):
        pass

    assert scene.while_open == [1]
    name, about = scene.one()
    assert (name, about["http.response.status_code"]) == ("CONNECT /ws", 101)
