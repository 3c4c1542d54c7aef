"""Liveness, readiness, metrics."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# The paths of probes. They do not count as requests: a refused probe would replace a gateway.
PROBES: Final = ("/health/live", "/health/liveness", "/health/ready")


class HealthApi:
    """What probes and Prometheus ask.

    unready_because: lists what is not as it should be. dead_because: lists what only a new process
    can mend.
    """

    def __init__(
        self,
        unready_because: Callable[[], list[str]],
        dead_because: Callable[[], list[str]],
        metrics: CollectorRegistry,
    ) -> None:
        self._unready_because = unready_because
        self._dead_because = dead_because
        self._metrics = metrics

    def routes(self) -> list[Route]:
        return [
            *(Route(path, self.live) for path in PROBES[:2]),
            Route(PROBES[2], self.ready),
            Route("/metrics", self.metrics),
        ]

    async def live(self, request: Request) -> Response:
        """Answer that the event loop turns, or which jobs are hopeless; Redis does not matter here.

        Gateways must never be started again because Redis is away (docs/architecture.md).
        """
        return _status(self._dead_because())

    async def ready(self, request: Request) -> Response:
        return _status(self._unready_because())

    async def metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)


def _status(reasons: list[str]) -> Response:
    if reasons:
        return JSONResponse({"status": "DOWN", "reasons": reasons}, 503)
    return JSONResponse({"status": "OK"})
