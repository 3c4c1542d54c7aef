"""What `hypha-cluster status` shows of the gateways of a cluster."""

import json
import time
from typing import Any

import pytest

from hypha_cluster.commands import status as module
from hypha_cluster.commands.status import row, status
from hypha_cluster.registry.nodes import NodeInfo
from tests.fake_redis import FakeRedis, Words
from tests.unit.commands.conftest import Opens

ABOUT = {"address": "http://hub:9000", "version": "1.2", "started": 100}


@pytest.fixture(autouse=True)
def _cluster(fake: FakeRedis, opens: Opens) -> None:
    """One gateway that is there, and one whose lease has ended."""
    opens(module)

    def lease(words: Words) -> bytes | None:
        return json.dumps(ABOUT).encode() if words[0] == "p:node:east" else None

    fake.answers |= {"zrange": [b"west", b"east"], "hget": lease, "scard": 3}


@pytest.mark.parametrize(
    ("about", "shown"),
    [
        ({"alive": True}, ("4 s", "ready")),
        ({"alive": True, "draining": True}, ("4 s", "draining")),
        ({"alive": False}, ("-", "no lease")),
    ],
)
def test_a_gateway_has_one_state(about: dict[str, Any], shown: tuple[str, str]) -> None:
    node = NodeInfo("east", 7, address="http://hub", started=96, **about)

    cells = row(node, now=100.0)

    assert (cells[0], cells[1], cells[4]) == ("east", "http://hub", "7")
    assert (cells[3], cells[5]) == shown


def test_all_are_shown_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    status()

    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == list(module.COLUMNS)
    assert [line.split()[0] for line in lines] == ["east", "west"]
    assert lines[0].split()[1] == "http://hub:9000"
    assert lines[1].endswith("no lease")


def test_programs_get_objects(capsys: pytest.CaptureFixture[str]) -> None:
    status(json=True)

    east, west = json.loads(capsys.readouterr().out)
    assert (east["name"], east["alive"], east["clients"]) == ("east", True, 3)
    assert (west["name"], west["alive"]) == ("west", False)


def test_there_may_be_none(fake: FakeRedis, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers["zrange"] = []

    status()

    assert capsys.readouterr().out == f"{module.NOTHING}\n"


def test_who_watches_ends_it_by_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)

    status(watch=True, every=0.5)

    assert pauses == [0.5, 0.5]
    assert capsys.readouterr().out.count("GATEWAY") == 2
