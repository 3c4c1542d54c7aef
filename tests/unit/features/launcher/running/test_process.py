"""The process of a runner: what it takes of the settings, and that it ends when it is told to."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.launcher.running import process as module
from hypha_cluster.features.launcher.running.egress import Target
from hypha_cluster.features.launcher.running.process import Site, run
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Nodes
from tests.gateways import SECOND
from tests.unit.features.launcher.rig import until

LIMIT = 30 * SECOND
SETTINGS = LauncherSettings(in_docker=True, app_browser="/bin/true", app_memory=77, app_slots=3)


class Browser:
    """Notes what it was made with, and whether it is open."""

    made: "Browser"

    def __init__(
        self, program: str, egress: Any, supervisor: Any, *, memory: int, sandboxed: bool
    ) -> None:
        self.about = (program, memory, sandboxed)
        self.egress = egress
        self.opened = self.closed = 0
        Browser.made = self

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Browser", Browser)


@pytest.fixture
def site(valkey_url: str, redis_prefix: str) -> Site:
    return Site(valkey_url, redis_prefix, "https://hub.example/", 5.0)


class Started:
    """A runner at work. stop: ends it, as the gateway beside it does."""

    def __init__(self, site: Site, settings: LauncherSettings = SETTINGS) -> None:
        self.stop, self._ready = asyncio.Event(), asyncio.Event()
        self.running = asyncio.ensure_future(run(site, settings, self._ready.set, self.stop))

    async def ready(self) -> Self:
        waiting = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait({waiting, self.running}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.running.done():
            await self.running
        return self


@pytest.fixture
async def instances(redis_client: RedisClient, redis_prefix: str) -> AsyncIterator[Instances]:
    async with asyncio.timeout(LIMIT):
        yield Instances(redis_client, Keys(redis_prefix), with_pages=False)


async def known(instances: Instances) -> None:
    async def is_known() -> bool:
        return bool(await instances.runners())

    await until(is_known)


@pytest.mark.parametrize("how", ["event", signal.SIGTERM, signal.SIGINT])
async def test_it_runs_until_it_is_told_to_stop(
    site: Site, instances: Instances, how: str | signal.Signals
) -> None:
    started = await Started(site).ready()
    await known(instances)
    assert Browser.made.about == ("/bin/true", 77, False)
    assert (Browser.made.opened, Browser.made.closed) == (1, 0)

    if isinstance(how, signal.Signals):
        os.kill(os.getpid(), how)
    else:
        started.stop.set()

    await started.running
    assert await instances.runners() == []
    assert Browser.made.closed == 1


async def test_pages_reach_the_gateways_that_are_there(
    site: Site, redis_client: RedisClient, redis_prefix: str
) -> None:
    nodes = Nodes(redis_client, Keys(redis_prefix), ttl=60.0, interval=1.0)
    about = {"started": 1, "version": "1", "draining": False}
    await nodes.take_lease("here", {**about, "address": "http://10.0.0.1:9000"})
    await nodes.take_lease("ends", {**about, "address": "http://10.0.0.2:9000", "draining": True})
    started = await Started(site).ready()

    targets = await Browser.made.egress._gateways()

    assert targets == [Target.of("http://10.0.0.1:9000")]
    started.stop.set()
    await started.running


async def test_without_a_browser_it_does_not_start(site: Site) -> None:
    settings = LauncherSettings(in_docker=True, app_browser="/no/such/browser")

    with pytest.raises(StartupError, match="/no/such/browser is no program"):
        await Started(site, settings).ready()
