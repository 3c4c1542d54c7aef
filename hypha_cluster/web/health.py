"""Liveness, readiness, metrics."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# The addresses of probes, which count for nobody: to refuse one would have a gateway replaced.
PROBES: Final = ("/health/live", "/health/liveness", "/health/ready")


class HealthApi:
    """What probes and Prometheus ask.

    unready_because lists what is not as it should be, dead_because what only a new process helps.
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
        """The event loop turns, and no job is beyond hope; whether Redis is there does not matter.

        A Redis that is away must never have the gateways started again (docs/architecture.md).
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
