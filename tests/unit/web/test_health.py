"""What probes are told of a gateway."""

import pytest
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hypha_cluster.web.health import HealthApi


def probe(path: str, *, unready: list[str], dead: list[str]) -> tuple[int, object]:
    health = HealthApi(lambda: unready, lambda: dead, CollectorRegistry())
    with TestClient(Starlette(routes=health.routes())) as prober:
        answer = prober.get(path)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", ["/health/live", "/health/liveness"])
def test_a_gateway_that_is_not_ready_is_not_started_again(path: str) -> None:
    assert probe(path, unready=["relay does not answer"], dead=[]) == (200, {"status": "OK"})


@pytest.mark.parametrize("path", ["/health/live", "/health/liveness"])
def test_a_gateway_that_only_a_new_process_helps_says_why(path: str) -> None:
    reason = "the job reaper fails again and again"

    answer = probe(path, unready=[], dead=[reason])

    assert answer == (503, {"status": "DOWN", "reasons": [reason]})


@pytest.mark.parametrize(("reasons", "status"), [([], 200), (["draining"], 503)])
def test_a_gateway_is_ready_when_nothing_keeps_it_from_being_so(
    reasons: list[str], status: int
) -> None:
    assert probe("/health/ready", unready=reasons, dead=[])[0] == status


def test_prometheus_gets_the_metrics() -> None:
    registry = CollectorRegistry()
    Gauge("hypha_ready", "Whether it is.", registry=registry).set(1)
    health = HealthApi(list, list, registry)

    with TestClient(Starlette(routes=health.routes())) as prober:
        assert "hypha_ready 1.0" in prober.get("/metrics").text
