"""`hypha-cluster user`: what each action does to the accounts of a real store."""

import asyncio
import io
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from hypha_cluster.commands import users
from hypha_cluster.commands.users import USAGE, run
from hypha_cluster.errors import StartupError
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Nodes

GUESS = "that is the address that a hub has by default"
Running = Callable[..., Awaitable[None]]  # has a gateway run at an address
ANN = ("add", "ann", "--email", "ann@example.org")
PASSWORD = "correct horse battery"


class Terminal(io.StringIO):
    """Where somebody sits."""

    def isatty(self) -> bool:
        return True


class Command:
    """Runs it on the store of a test."""

    def __init__(self, flags: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._flags = flags
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, password: str = "", stdin: io.StringIO | None = None) -> str:
        stdin = stdin or io.StringIO(f"{password}\n")
        self._monkeypatch.setattr(sys, "stdin", stdin)
        return run([*words, *self._flags])


@pytest.fixture
def user(valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    flags = [f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}"]
    return Command([*flags, "--public-base-url=https://hub.example/lab"], monkeypatch)


@pytest.fixture
def plain(valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """It is not told where the hub is."""
    return Command([f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}"], monkeypatch)


@pytest.fixture
def gateway(redis_client: RedisClient, redis_prefix: str) -> Running:
    """What the store knows of a gateway that runs."""

    async def run_at(address: str, name: str = "one", **more: str) -> None:
        nodes = Nodes(redis_client, Keys(redis_prefix), ttl=60, interval=10)
        await nodes.take_lease(name, {"address": address, "version": "0", "started": 1, **more})

    return run_at


@pytest.mark.parametrize("words", [[], ["--help"], ["add", "-h"]])
def test_help_is_given(words: list[str]) -> None:
    assert run(words) == USAGE


def test_a_user_is_added_shown_and_removed(user: Command) -> None:
    assert user(*ANN, "--admin", "--password-stdin", password=PASSWORD) == "User ann is there.\n"
    assert user("list") == "ann  ann@example.org  admin\n"
    assert json.loads(user("list", "--json")) == [
        {"name": "ann", "email": "ann@example.org", "roles": ["admin"]}
    ]
    assert user("remove", "ann") == "User ann is gone; their workspaces stay.\n"
    assert user("list").startswith("There are no users yet")


def test_where_nobody_was_found_is_said_as_far_as_it_is_no_secret(
    user: Command, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "masked_url", lambda url: f"(masked) {url}")

    assert user("list").startswith(f"There are no users yet in (masked) {valkey_url}; ")


def test_where_nobody_can_be_asked_there_is_a_link(user: Command) -> None:
    assert "https://hub.example/lab/login/invitation?code=" in user(*ANN)


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("http://{here}:9610", "http://localhost:9610/login/"),
        ("https://{here}:443", "https://localhost:443/login/"),
        ("http://192.0.2.7:9610", "http://192.0.2.7:9610/login/"),
        ("http://[::1]:9610", "http://[::1]:9610/login/"),
        ("http://elsewhere.example:80", "http://elsewhere.example:80/login/"),
    ],
)
async def test_a_link_leads_to_a_gateway_that_runs(
    plain: Command, gateway: Running, address: str, link: str
) -> None:
    await gateway(address.format(here=socket.gethostname()))

    said = await asyncio.to_thread(plain, *ANN)

    assert f"\n{link}invitation?code=" in said
    assert GUESS not in said


async def test_a_link_leads_where_a_gateway_says_that_users_come(
    plain: Command, gateway: Running
) -> None:
    await gateway("http://192.0.2.7:9610")
    await gateway("http://192.0.2.8:9610", "two", public_url="https://hub.example/lab")

    said = await asyncio.to_thread(plain, *ANN)

    assert "\nhttps://hub.example/lab/login/invitation?code=" in said


async def test_a_link_leads_where_the_operator_says_whatever_runs(
    plain: Command, gateway: Running
) -> None:
    await gateway("http://192.0.2.7:9610")

    said = await asyncio.to_thread(plain, *ANN, "--port=9700")

    assert "\nhttp://localhost:9700/login/invitation?code=" in said
    assert GUESS not in said


def test_a_link_that_nobody_has_named_says_so(plain: Command) -> None:
    said = plain(*ANN)

    assert "\nhttp://localhost:9000/login/invitation?code=" in said
    assert GUESS in said


def test_who_sits_at_a_terminal_is_asked(user: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", getpass)

    assert user(*ANN, stdin=Terminal()) == "User ann is there.\n"
    assert asked == ["Password of ann: "]


def test_a_new_password_is_taken(user: Command) -> None:
    user(*ANN)

    said = user("passwd", "ann", "--password-stdin", password=PASSWORD)

    assert said == "User ann has a new password.\n"


def test_what_is_done_is_told_to_programs(user: Command, plain: Command) -> None:
    def record(of: Command, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(of(*words, "--json", password=PASSWORD))
        return told

    added, guessed = record(user, *ANN), record(plain, "passwd", "ann")

    link = "https://hub.example/lab/login/invitation?code="
    assert added.pop("link").startswith(link)
    assert guessed.pop("link").startswith("http://localhost:9000/login/invitation?code=")
    assert added == {"name": "ann", "state": "there", "is_guessed": False}
    assert guessed == {"name": "ann", "state": "there", "is_guessed": True}
    with_password = record(user, "passwd", "ann", "--password-stdin")
    assert with_password == {"name": "ann", "state": "there"}
    assert record(user, "remove", "ann") == {"name": "ann", "state": "gone"}
    assert json.loads(user("list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ad"], "unknown command user 'ad'"),
        (["remove", "zoe"], "There is no user 'zoe'"),
        (["passwd", "zoe"], "There is no user 'zoe'"),
        (["add", "ann"], "--email"),
        (["list", "--jsn"], "unknown flag '--jsn'"),
    ],
)
def test_a_mistake_is_said(user: Command, words: list[str], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        user(*words, *(["--password-stdin"] if words[0] == "passwd" else []), password=PASSWORD)


def test_a_store_in_memory_keeps_nobody() -> None:
    with pytest.raises(StartupError, match="keeps nothing"):
        run(["list", "--data-dir=:memory:"])
