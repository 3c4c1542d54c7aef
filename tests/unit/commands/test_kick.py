"""`hypha-cluster kick` ends one connection, and says when it cannot."""

import json
from typing import Any

import pytest

from hypha_cluster.commands import kick as module
from hypha_cluster.commands.kick import kick
from hypha_cluster.errors import CommandFailed, StartupError
from tests.fake_redis import FakeRedis, Words
from tests.unit.commands.conftest import Opens


class Client:
    """One client, which goes when it is told to so often."""

    def __init__(self, fake: FakeRedis, state: str = "online") -> None:
        self.state = state
        self.looks_left = 3
        fake.answers |= {"hgetall": self._record, "hget": None}

    def _record(self, words: Words) -> list[Any]:
        if not words[0].startswith("p:{ws}"):
            return []  # there are no revocations yet
        self.looks_left -= 1
        return [b"state", self.state.encode()] if self.looks_left > 0 else []


@pytest.fixture(autouse=True)
def _cluster(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    opens(module)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)


def test_it_is_told_to_all_gateways_and_waited_for(
    fake: FakeRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    Client(fake)

    kick("ws/me")

    assert fake.words("revoke")[0][1] == "client:ws/me"
    assert capsys.readouterr().out == "ws/me is gone.\n"


def test_who_is_between_two_connections_goes_by_itself(fake: FakeRedis) -> None:
    Client(fake, "suspended")

    with pytest.raises(CommandFailed, match="it is gone in 180 s at the latest"):
        kick("ws/me")

    assert "revoke" not in fake.names


def test_who_is_not_there_is_told(fake: FakeRedis) -> None:
    Client(fake).looks_left = 0

    with pytest.raises(CommandFailed, match="there is no client ws/me"):
        kick("ws/me")


def test_who_does_not_go_is_told(fake: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    Client(fake).looks_left = 1_000_000
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    with pytest.raises(CommandFailed, match="did not go; is its gateway well"):
        kick("ws/me")


@pytest.mark.parametrize("client", ["me", "/me", "ws/", "a/b/c", ""])
def test_what_is_no_client_is_told(client: str) -> None:
    with pytest.raises(StartupError, match="write WORKSPACE/CLIENT"):
        kick(client)


def test_programs_get_an_object(fake: FakeRedis, capsys: pytest.CaptureFixture[str]) -> None:
    Client(fake)

    kick("ws/me", json=True)

    assert json.loads(capsys.readouterr().out) == {"client": "ws/me", "state": "gone"}
