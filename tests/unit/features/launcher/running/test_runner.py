"""A runner takes as many instances as it has slots, and leaves none without a word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.features.launcher.running import hosting, runner as module
from hypha_cluster.features.launcher.running.runner import Runner
from hypha_cluster.registry.instance import State
from hypha_cluster.supervision import Supervisor
from tests.app_rig import wanted
from tests.gateways import SECOND
from tests.unit.features.launcher.rig import Site, until
from tests.unit.features.launcher.running.rig import FakeBrowser, FakeServices, outlook_of

LIMIT = 20 * SECOND


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN", 0.01)
    for name in ("RENEWING", "_LOOKING", "_WATCHING"):
        monkeypatch.setattr(hosting, name, 0.01)


class Shop:
    def __init__(self, site: Site, slots: int) -> None:
        self.site = site
        self.browser, self.services = FakeBrowser(), FakeServices()
        browser: Any = self.browser
        self.runner = Runner(outlook_of(site, self.services), browser, slots, Supervisor())

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["asyncio.Task[None]"]:
        ready = asyncio.Event()
        running = asyncio.ensure_future(self.runner.run(ready.set))
        async with asyncio.timeout(LIMIT):
            await ready.wait()
            yield running
            self.runner.stopping.set()
            await running

    async def want(self, *clients: str) -> None:
        await self.site.install("adder")
        for client in clients:
            await self.site.pages.ask(wanted(client), shared=False)

    async def come_in(self) -> None:
        """Have all pages that are open offer what they are there for."""
        for page in self.browser.open_now:
            about = page.assignment.about
            self.services.offered[f"{about['workspace']}/{about['client_id']}"] = "now"

    async def states(self) -> list[State]:
        return [each.state for each in await self.site.instances.of_workspace("ann")]


async def test_no_more_run_than_there_are_slots(site: Site) -> None:
    shop = Shop(site, slots=2)
    await shop.want("a", "b", "c")
    async with shop.at_work():

        async def two_run() -> bool:
            await shop.come_in()
            return (await shop.states()).count(State.RUNNING) == 2

        await until(two_run)
        assert len(shop.browser.open_now) == 2
        assert (await shop.states()).count(State.PENDING) == 1
        (first, *_) = [e for e in await site.instances.of_workspace("ann") if e.runner]

        await site.instances.end(first.address)  # so there is room for the third

        async def the_third_runs() -> bool:
            await shop.come_in()
            return sorted(await shop.states()) == sorted([State.STOPPED, *[State.RUNNING] * 2])

        await until(the_third_runs)


async def test_who_stops_is_known_no_more_and_lets_go_of_all(site: Site) -> None:
    shop = Shop(site, slots=2)
    await shop.want("a", "b")
    async with shop.at_work():

        async def all_run() -> bool:
            await shop.come_in()
            return await shop.states() == [State.RUNNING] * 2

        await until(all_run)
        assert await site.instances.runners() == [shop.runner.name]

    assert await site.instances.runners() == []
    assert shop.browser.open_now == []
    assert await shop.states() == [State.PENDING] * 2


async def test_runners_have_names_of_their_own(site: Site) -> None:
    assert Shop(site, 1).runner.name != Shop(site, 1).runner.name
