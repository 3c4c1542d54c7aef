"""What `hypha-cluster clients` shows of each client."""

import json
from typing import Any

import pytest

from hypha_cluster.commands import clients as module
from hypha_cluster.commands.clients import clients
from tests.fake_redis import FakeRedis, Words
from tests.unit.commands.conftest import Opens

RECORDS = {
    "p:{ws-1}/worker": {"state": "online", "node": "gateway-1", "user": '{"id": "ann"}'},
    "p:{ws-1}/page": {"state": "suspended", "node": "gateway-2", "user_id": "bob"},
}


def record(words: Words) -> list[Any]:
    pairs = RECORDS.get(words[0], {}).items()
    return [part.encode() for pair in pairs for part in pair]


@pytest.fixture(autouse=True)
def _cluster(fake: FakeRedis, opens: Opens) -> None:
    opens(module)
    fake.answers |= {
        "smembers": lambda words: [b"worker", b"page", b"gone"] if "ws-1" in words[0] else [],
        "hgetall": record,
        "scard": 2,
    }


def test_each_is_listed_with_where_it_is_and_whose(capsys: pytest.CaptureFixture[str]) -> None:
    clients("ws-1", json=True)

    assert json.loads(capsys.readouterr().out) == [
        {
            "address": "ws-1/page",
            "state": "suspended",
            "gateway": "gateway-2",
            "user": "bob",
            "services": 2,
        },
        {
            "address": "ws-1/worker",
            "state": "online",
            "gateway": "gateway-1",
            "user": "ann",
            "services": 2,
        },
    ]


def test_there_may_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    clients("ws-2")

    assert capsys.readouterr().out == "No client is there.\n"
