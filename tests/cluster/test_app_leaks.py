"""A hundred starts and stops of server apps leave nothing: no renderer, no key, no task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from os import getpid

import pytest
from redis.asyncio import Redis

from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher.running import process
from hypha_cluster.features.launcher.terms import LauncherSettings
from tests.in_process import served
from tests.server_apps import ADDER, LIMIT, User, need_browser, renderers
from tests.token_rig import SECRET

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.timeout(300)]

AT_ONCE = 10
ROUNDS = 10


@asynccontextmanager
async def hub(redis_url: str, prefix: str) -> AsyncIterator[str]:
    """A gateway and a runner in this very process, whose tasks can be counted."""
    config = Config(port=0, jwt_secret=SECRET, redis_url=redis_url, redis_prefix=prefix)
    settings = LauncherSettings(
        enable_server_apps=True, app_runners="elsewhere", in_docker=True, app_slots=AT_ONCE
    )
    features = [
        (kind, settings if kind.Settings is LauncherSettings else kind.Settings())
        for kind in BUILT_IN
    ]
    async with served(config, features) as (url, _):
        ready, stop = asyncio.Event(), asyncio.Event()
        site = process.Site(redis_url, prefix, url, patience=5.0)
        runner = asyncio.create_task(process.run(site, settings, ready.set, stop))
        try:
            await ready.wait()
            yield url
        finally:
            stop.set()
            await runner


async def keys(redis: Redis, prefix: str) -> set[str]:
    """But those of what has just been used, which expire by themselves."""
    found = {key.decode() async for key in redis.scan_iter(f"{prefix}:*", count=1_000)}
    notes = (f"{prefix}:used:", f"{prefix}:tally:")
    kept = {key for key in found if not key.startswith(notes)}
    return {key for key in kept if not key.endswith((":left", ":pulse"))}


async def start_and_stop(ann: User) -> None:
    """Start an app as often as there are slots, all at once, and stop all."""
    app = await ann("install", ADDER, config={"type": "window"}, app_id="adder", overwrite=True)
    started = await asyncio.gather(*(ann("start", app["id"]) for _ in range(AT_ONCE)))
    assert await ann.ask(started[0], "add", 2, 3) == 5
    assert await ann("stop_all") == AT_ONCE


async def test_a_hundred_starts_and_stops_leave_nothing(
    valkey_url: str, redis: Redis, redis_prefix: str
) -> None:
    need_browser()
    async with hub(valkey_url, redis_prefix) as url, await User.connect(url) as ann:
        await start_and_stop(ann)  # so that there is what is made once
        await ann("uninstall", "ann/adder")
        kept, pages, tasks = await keys(redis, redis_prefix), renderers(getpid()), count_tasks()

        for _ in range(ROUNDS):
            await start_and_stop(ann)
        await ann("uninstall", "ann/adder")

        async def left() -> tuple[set[str], int, int]:
            """Keys, renderers and tasks that were not there before."""
            found = await keys(redis, redis_prefix) - kept
            return found, max(0, renderers(getpid()) - pages), max(0, count_tasks() - tasks)

        found = await left()
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                while any(found):
                    await asyncio.sleep(0.2)
                    found = await left()
        assert found == (set(), 0, 0)


def count_tasks() -> int:
    return len(asyncio.all_tasks())
