"""What `hypha-cluster apps` lists: out of a cluster's Redis, or as a hub answers a user."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.commands import apps as module, using_apps
from hypha_cluster.commands.apps import listing
from hypha_cluster.commands.target import Cluster
from hypha_cluster.commands.using_apps import Asking
from hypha_cluster.config import Config
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from tests.app_rig import SEALS, an_app, wanted

JSON = Asking(json=True)
HUB = Asking(server_url="https://hub.example", json=True)


@pytest.fixture
def _cluster(monkeypatch: pytest.MonkeyPatch, valkey_url: str, redis_prefix: str) -> None:
    """The command opens the Redis of the test, with a connection of its own."""

    @asynccontextmanager
    async def cluster() -> AsyncIterator[Cluster]:
        redis = open_redis(valkey_url, timeout=5.0)
        await redis.start()
        yield Cluster(Config(), redis, Keys(redis_prefix))
        await redis.aclose()

    monkeypatch.setattr(module, "cluster", cluster)


async def shown(capsys: pytest.CaptureFixture[str], *args: Any, **options: Any) -> Any:
    await asyncio.to_thread(listing, *args, asking=JSON, **options)
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("_cluster")
async def test_what_runs_is_listed_by_its_workspace(
    redis_client: RedisClient, redis_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Keys(redis_prefix)
    instances = Instances(redis_client, keys)
    await InstancePages(redis_client, keys, SEALS, instances).ask(wanted("c1"), shared=False)
    await instances.end("ann/c1", because="it had to")

    everywhere = await shown(capsys)

    assert everywhere == [
        {
            **{"instance": "ann/c1", "app": "ann/adder", "state": "failed", "runner": ""},
            **{"restarts": 0, "reason": "it had to"},
        }
    ]
    assert await shown(capsys, "ann") == everywhere
    assert await shown(capsys, "bob") == []


@pytest.mark.usefixtures("_cluster")
async def test_what_is_installed_is_listed_with_how_many_files_it_has(
    redis_client: RedisClient, redis_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apps = Apps(redis_client, Keys(redis_prefix))
    await apps.install(an_app("adder", 3, version="1.2"), {"index.html": b"<p>"}, {})

    everywhere = await shown(capsys, installed=True)

    assert everywhere == [
        {
            **{"app": "ann/adder", "name": "adder", "version": 1, "owner": "ann"},
            "files": 1,
        }
    ]
    assert await shown(capsys, "ann", installed=True) == everywhere
    assert await shown(capsys, "bob", installed=True) == []


@pytest.mark.usefixtures("_cluster")
@pytest.mark.parametrize(
    ("installed", "words"), [(True, "No app is installed."), (False, "No app runs.")]
)
async def test_that_there_is_none_is_said(
    redis_client: RedisClient, capsys: pytest.CaptureFixture[str], installed: bool, words: str
) -> None:
    await asyncio.to_thread(listing, installed=installed)

    assert words in capsys.readouterr().out


def answered(monkeypatch: pytest.MonkeyPatch, *answer: dict[str, Any]) -> None:
    def found(asking: Asking, workspace: str, *, installed: bool) -> list[dict[str, Any]]:
        return [*answer]

    monkeypatch.setattr(using_apps, "found", found)


@pytest.mark.parametrize(("more", "files"), [({}, 1), ({"attachments": {"files": ["a", "b"]}}, 3)])
def test_a_hub_that_is_named_is_asked_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, Any],
    files: int,
) -> None:
    answered(monkeypatch, {"id": "ann/adder", "name": "Adder", **more})

    listing(installed=True, asking=HUB)

    [row] = json.loads(capsys.readouterr().out)
    assert row == {"app": "ann/adder", "name": "Adder", "files": files}


@pytest.mark.parametrize(("more", "runner"), [({"runner": "r1"}, "r1"), ({}, "")])
def test_a_hub_that_is_named_is_asked_what_runs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, str],
    runner: str,
) -> None:
    about = {"workspace": "ann", "id": "c1", "app_id": "ann/adder", "state": "running"}
    answered(monkeypatch, {**about, "restarts": 2, "reason": "", **more})

    listing(asking=HUB)

    [row] = json.loads(capsys.readouterr().out)
    assert (row["instance"], row["state"], row["restarts"], row["runner"]) == (
        *("ann/c1", "running", 2, runner),
    )


def test_a_table_of_a_hub_has_no_column_for_what_hubs_do_not_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(monkeypatch, {"id": "ann/adder", "name": "Adder", "version": "0.1.0"})

    listing(installed=True, asking=Asking(server_url="https://hub.example"))

    head, row = capsys.readouterr().out.splitlines()
    assert (head.split(), row.split()) == (["APP", "NAME", "FILES"], ["ann/adder", "Adder", "1"])


@pytest.mark.usefixtures("_cluster")
async def test_a_table_of_a_store_says_who_owns_what(
    redis_client: RedisClient, redis_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apps = Apps(redis_client, Keys(redis_prefix))
    await apps.install(an_app("adder", 3), {"index.html": b"<p>"}, {})

    await asyncio.to_thread(listing, installed=True)

    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["APP", "NAME", "VERSION", "OWNER", "FILES"]
    assert row.split() == ["ann/adder", "adder", "1", "ann", "1"]


def test_a_reason_is_a_line_of_the_table_however_long_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"workspace": "ann", "id": "c1", "app_id": "ann/adder", "state": "failed"}
    answered(monkeypatch, {**about, "restarts": 0, "reason": "line\n  of it\n" + "x" * 100})

    listing(asking=Asking(server_url="https://hub.example"))

    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["INSTANCE", "APP", "STATE", "RUNNER", "RESTARTS", "REASON"]
    assert "line of it xxx" in row
    assert row.rstrip().endswith("x…")
