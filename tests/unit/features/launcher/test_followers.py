"""Who follows a log hears what is written, told or not, until the instance is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import Overloaded
from hypha_cluster.features.launcher import following as module
from hypha_cluster.features.launcher.following import Following
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.urls import find_servers
from hypha_cluster.registry.instance_logs import Cursor
from hypha_cluster.supervision import Supervisor
from tests.app_rig import wanted
from tests.gateways import SECOND
from tests.unit.features.launcher.rig import Site, until

LIMIT = 20 * SECOND
BEGINNING = Cursor()


@pytest.fixture
async def following(site: Site, valkey_url: str) -> AsyncIterator[Following]:
    servers: Servers = find_servers(valkey_url, 5.0)
    await servers.start()
    grounds = Mock(
        instances=site.instances,
        servers=servers,
        keys=site.keys,
        node="here",
        supervisor=Supervisor(),
    )
    following = Following(site.logs, grounds)
    await site.pages.ask(wanted("c"), shared=False)
    async with following.listening():
        yield following
    await servers.aclose()


@asynccontextmanager
async def reading(following: Following, user: str = "ann") -> AsyncIterator[Any]:
    """The texts of what comes, without what is said of the state."""

    async def texts() -> AsyncIterator[str]:
        async for item in following.follow("ann/c", BEGINNING, user):
            if item["type"] != "state":
                yield item["text"]

    stream = texts()
    async with asyncio.timeout(LIMIT):
        yield stream


async def test_what_is_written_meanwhile_is_told(
    following: Following, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKING", 3_600.0)
    await site.logs.write("ann/c", "log", ["before"])
    async with reading(following) as texts:
        assert await anext(texts) == "before"
        await site.logs.write("ann/c", "error", ["meanwhile"])
        assert await anext(texts) == "meanwhile"
        await texts.aclose()


async def test_what_was_not_told_is_found(
    following: Following, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKING", 0.05)
    monkeypatch.setattr(following, "_tell", lambda channel: None)
    await site.logs.write("ann/c", "log", ["before"])
    async with reading(following) as texts:
        await anext(texts)
        await site.logs.write("ann/c", "log", ["seen"])
        assert await anext(texts) == "seen"
        await texts.aclose()


async def test_it_ends_when_the_instance_is_over(following: Following, site: Site) -> None:
    await site.logs.write("ann/c", "log", ["said"])
    await site.instances.end("ann/c")

    async with asyncio.timeout(LIMIT):
        items = [item async for item in following.follow("ann/c", BEGINNING, "ann")]
        gone = [item async for item in following.follow("ann/nobody", BEGINNING, "ann")]

    assert [item["text"] for item in items] == ["said", "stopped"]
    assert [item["text"] for item in gone] == ["forgotten"]


async def test_a_gateway_that_drains_lets_go_of_all(following: Following, site: Site) -> None:
    async with reading(following) as texts:
        waiting = asyncio.ensure_future(anext(texts, "over"))
        await asyncio.sleep(0)
        following.end()
        assert await waiting == "over"
    assert await following.more("ann/c", BEGINNING, "ann", LIMIT) == []


async def test_nobody_has_all_of_the_room(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "APP_FOLLOWERS", 10)
    waiting = asyncio.ensure_future(following.more("ann/c", BEGINNING, "ann", LIMIT))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="followed by too many"):
        await following.more("ann/c", BEGINNING, "ann", 0.0)
    assert await following.more("ann/c", BEGINNING, "bob", 0.0) == []
    following.end()
    await waiting
    assert await following.more("ann/c", BEGINNING, "ann", 0.0) == []


async def test_asking_for_more_waits_until_there_is_some(following: Following, site: Site) -> None:
    asking = asyncio.ensure_future(following.more("ann/c", BEGINNING, "ann", LIMIT))
    await asyncio.sleep(0)
    await site.logs.write("ann/c", "log", ["one"])

    ((entry, cursor),) = await asking

    assert entry.text == "one"
    assert await following.more("ann/c", cursor, "ann", 0.0) == []


async def test_nothing_stays_of_who_followed(
    following: Following, site: Site, redis: Redis
) -> None:
    channel = site.keys.log_channel("ann/c")
    await site.logs.write("ann/c", "log", ["one"])
    async with reading(following) as texts:
        await anext(texts)
        await texts.aclose()

    async def is_silent() -> bool:
        asked: Any = redis.execute_command
        return not await asked("PUBSUB", "SHARDCHANNELS", channel)

    await until(is_silent)
    assert following._news == {}
