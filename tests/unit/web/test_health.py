"""What probes are told, and by which status."""

import json

import pytest
from prometheus_client import CollectorRegistry, Gauge
from starlette.routing import Router

from hypha_cluster.web.health import HealthApi
from tests.unit.web.middleware.asgi import ask, headers_of


def probes(unready: list[str], dead: list[str]) -> Router:
    metrics = CollectorRegistry()
    Gauge("clients", "How many there are.", registry=metrics).set(3)
    return Router(HealthApi(lambda: unready, lambda: dead, metrics).routes())


@pytest.mark.parametrize(
    ("path", "unready", "dead"),
    [
        ("/health/live", [], ["the job bus fails"]),
        ("/health/liveness", [], ["the job bus fails"]),
        ("/health/ready", ["no Redis"], []),
    ],
)
async def test_a_probe_says_what_is_wrong(path: str, unready: list[str], dead: list[str]) -> None:
    start, body = await ask(probes([], []), path=path)
    assert (start["status"], json.loads(body["body"])) == (200, {"status": "OK"})

    start, body = await ask(probes(unready, dead), path=path)
    expected = {"status": "DOWN", "reasons": unready or dead}
    assert (start["status"], json.loads(body["body"])) == (503, expected)


async def test_who_is_only_unready_is_alive() -> None:
    start, _ = await ask(probes(["no Redis"], []), path="/health/live")

    assert start["status"] == 200


async def test_metrics_are_what_prometheus_reads() -> None:
    start, body = await ask(probes([], []), path="/metrics")

    assert headers_of(start)["content-type"].startswith("text/plain")
    assert b"clients 3.0" in body["body"]
