"""What `hypha-cluster top` shows of the gateways: what each has measured of itself."""

import json
from typing import Any

import pytest

from hypha_cluster.commands import top as module
from hypha_cluster.commands.top import record_of, top
from hypha_cluster.features.pages.pulse import Gateway
from hypha_cluster.registry.nodes import NodeInfo
from tests.fake_redis import FakeRedis, Words
from tests.unit.commands.conftest import Opens

INFO = NodeInfo("east", 7, alive=True, address="http://hub:9000")
OLD: list[float | None] = [1.0, 1.0, 1.0, 1.0, 1.0, 1, 0.1, 1, 1.0]
NEW: list[float | None] = [20.0, 4.0, 2.5, 1000.0, 0.3, 7, 0.5, 2**20, 9]


def test_the_last_measurement_is_shown() -> None:
    assert record_of(Gateway(INFO, [OLD, NEW])) == {
        "gateway": "east",
        "state": "ready",
        "clients": 7,
        "frames_per_second": 20.0,
        "calls_per_second": 4.0,
        "p50_seconds": 0.0025,
        "p99_seconds": 1.0,
        "cpu": 0.5,
        "memory_bytes": 2**20,
        "redis_operations_per_second": 9,
    }


def test_who_has_measured_nothing_yet_is_shown_all_the_same() -> None:
    draining = INFO._replace(draining=True)

    assert record_of(Gateway(draining, [])) == {
        "gateway": "east",
        "state": "draining",
        "clients": 7,
    }


def test_a_gateway_of_the_release_before_has_fewer_figures() -> None:
    record = record_of(Gateway(INFO, [[20.0, 4.0, None, None, None, 7]]))

    assert (record["frames_per_second"], record["p50_seconds"], record["cpu"]) == (20.0, None, 0.0)


@pytest.fixture
def two_workers(fake: FakeRedis, opens: Opens) -> None:
    """Two gateways that share an address."""
    opens(module)
    about = json.dumps({"address": "http://hub:9000", "version": "1", "started": 1}).encode()

    def get(words: Words) -> Any:
        return json.dumps([NEW]).encode() if words[0].endswith("east-0:pulse") else None

    fake.answers |= {
        "zrange": [b"east-0", b"east-1"],
        "hget": about,
        "get": get,
        "scard": 7,
    }


@pytest.mark.usefixtures("two_workers")
def test_workers_that_share_a_port_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    top(once=True)

    head, first, second, _ = capsys.readouterr().out.split("\n", 3)
    assert head.split()[:3] == ["GATEWAY", "STATE", "CLIENTS"]
    assert first.split() == [
        *("east-0", "ready", "7", "20", "4", "0.0025", "s", "1", "s", "50%", "1", "MiB", "9"),
    ]
    assert second.split() == ["east-1", "ready", "7", *"-" * 7]


@pytest.mark.usefixtures("two_workers")
def test_programs_get_records(capsys: pytest.CaptureFixture[str]) -> None:
    top(once=True, json=True)

    found = json.loads(capsys.readouterr().out)
    assert [each["gateway"] for each in found] == ["east-0", "east-1"]
