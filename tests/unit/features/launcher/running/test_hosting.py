"""One instance on a runner: its page opens, comes in, and ends; each end says what comes next."""

import asyncio
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.launcher.running import bounds as bounding, hosting as module
from hypha_cluster.features.launcher.running.hosting import Hosting
from hypha_cluster.features.launcher.running.usage import Usage
from hypha_cluster.registry.instance import Instance, State
from hypha_cluster.registry.instances import LEASE, Change
from tests.app_rig import wanted
from tests.gateways import SECOND
from tests.unit.features.launcher.rig import Site, until
from tests.unit.features.launcher.running.rig import BOUNDS, FakeBrowser, FakeServices, outlook_of

LIMIT = 20 * SECOND
ADDRESS = "ann/c"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWING", 0.05)
    monkeypatch.setattr(module, "_LOOKING", 0.01)
    monkeypatch.setattr(module, "_WATCHING", 0.01)
    monkeypatch.setattr(bounding, "MEASURING", 0.01)


class Stand:
    """A runner's part in one instance."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.browser, self.services = FakeBrowser(), FakeServices()
        self.bounds = BOUNDS
        self.moving = asyncio.Event()

    async def host(self, *, seconds: float = 60.0, claimed: float = 0.0) -> "asyncio.Task[None]":
        """Run an instance that this runner has just taken.

        seconds: for its start. claimed: so many seconds ago.
        """
        await self.site.install("adder")
        await self.site.pages.ask(wanted("c")._replace(timeout=seconds), shared=False)
        await self.site.instances.see_to("r", 1)
        return self.go_on(await self.now(), claimed)

    def go_on(self, instance: Instance, claimed: float = 0.0) -> "asyncio.Task[None]":
        browser: Any = self.browser
        began = asyncio.get_running_loop().time() - claimed
        outlook = outlook_of(self.site, self.services, self.bounds)
        hosting = Hosting(instance, outlook, browser, claimed_at=began, moving=self.moving)
        return asyncio.ensure_future(hosting.run())

    async def now(self) -> Instance:
        return await self.site.instances.get(ADDRESS)

    async def until_open(self) -> None:
        async def is_open() -> bool:
            return bool(self.browser.open_now)

        await until(is_open)

    async def until_running(self) -> None:
        await self.until_open()
        self.services.offered[ADDRESS] = "this page's"

        async def is_running() -> bool:
            return (await self.now()).state is State.RUNNING

        await until(is_running)

    async def over(self, hosted: "asyncio.Task[None]") -> Instance:
        async with asyncio.timeout(LIMIT):
            await hosted
        assert self.browser.open_now == [], "the page stays open"
        return await self.now()


@pytest.fixture
def stand(site: Site) -> Stand:
    return Stand(site)


async def test_a_page_is_told_who_it_is_and_runs_when_it_offers_its_service(stand: Stand) -> None:
    hosted = await stand.host()
    await stand.until_running()

    (page,) = stand.browser.opened
    about = page.assignment.about
    assert (about["client_id"], about["workspace"]) == ("c", "ann")
    assert about["token"] not in page.assignment.url
    assert page.assignment.url.startswith("https://hub.example/apps/ann/adder/~")
    instance = await stand.now()
    assert (instance.service, instance.runner, instance.has_run) == ("Adds", "r", True)

    await stand.site.instances.end(ADDRESS)
    assert (await stand.over(hosted)).state is State.STOPPED
    texts = [entry.text for entry in await stand.site.logs.read(ADDRESS, "log", 0, 9)]
    assert texts == ["hello"]


async def test_what_an_earlier_page_offered_is_not_this_ones(stand: Stand) -> None:
    stand.services.offered[ADDRESS] = "an earlier page's"
    hosted = await stand.host(seconds=0.3)
    await stand.until_open()

    instance = await stand.over(hosted)

    assert instance.state is State.FAILED
    assert "does not offer the service 'default'" in instance.reason


async def test_a_page_that_never_ran_has_failed_with_its_reason(stand: Stand) -> None:
    stand.browser.refusal = "The page cannot be loaded: the hub answers 404."

    instance = await stand.over(await stand.host())

    assert (instance.state, instance.reason) == (State.FAILED, stand.browser.refusal)


@pytest.mark.parametrize("how", ["it crashes", "it leaves the hub"])
async def test_a_page_that_has_run_starts_again_in_a_moment(stand: Stand, how: str) -> None:
    hosted = await stand.host()
    await stand.until_running()

    if how == "it crashes":
        stand.browser.open_now[0].gone.set_result("The page has crashed.")
    else:
        stand.services.offered.clear()

    instance = await stand.over(hosted)
    assert (instance.state, instance.restarts, instance.runner) == (State.BACKOFF, 1, "")
    assert instance.reason in ("The page has crashed.", "The page has left the hub.")


async def test_who_crashes_again_and_again_has_failed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 0)
    hosted = await stand.host()
    await stand.until_running()
    stand.browser.open_now[0].gone.set_result("Boom.")

    instance = await stand.over(hosted)

    assert instance.state is State.FAILED
    assert instance.reason == "It has crashed 0 times in a row: Boom."


async def test_who_uses_too_much_has_failed_and_its_log_says_so(stand: Stand) -> None:
    stand.bounds = BOUNDS._replace(memory=1_000)
    hosted = await stand.host()
    await stand.until_running()
    stand.browser.open_now[0].used = Usage(2**30, 0.0, False)

    instance = await stand.over(hosted)

    assert instance.state is State.FAILED
    (entry,) = await stand.site.logs.read(ADDRESS, "error", 0, 9)
    assert entry.text == instance.reason


async def test_an_app_that_is_not_there_has_failed(stand: Stand) -> None:
    hosted = await stand.host()
    await stand.until_running()
    await stand.site.apps.uninstall("ann", "adder")
    stand.browser.open_now[0].gone.set_result("Boom.")
    crashed = await stand.over(hosted)
    assert crashed.state is State.BACKOFF

    await stand.site.instances.end(ADDRESS)
    await stand.site.pages.ask(wanted("c"), shared=False)
    await stand.site.instances.see_to("r", 1)

    assert (await stand.over(stand.go_on(await stand.now()))).state is State.FAILED


async def test_a_lease_that_was_not_renewed_closes_the_page_and_says_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWING", 60.0)
    hosted = await stand.host(claimed=LEASE - module._MARGIN - 0.5)
    await stand.until_open()

    instance = await stand.over(hosted)

    assert (instance.state, instance.runner) == (State.STARTING, "r")  # as somebody else finds it


async def test_what_is_somebody_elses_by_now_is_left_to_them(stand: Stand) -> None:
    hosted = await stand.host()
    await stand.until_running()
    await stand.site.instances.change(
        ADDRESS, frozenset((State.RUNNING,)), State.PENDING, due=0, runner=""
    )
    await stand.site.instances.see_to("s", 1)

    instance = await stand.over(hosted)

    assert (instance.state, instance.runner, instance.epoch) == (State.STARTING, "s", 2)


async def test_a_page_stays_until_another_runner_has_one(stand: Stand) -> None:
    await stand.site.instances.see_to("s", 0)  # is there
    hosted = await stand.host()
    await stand.until_running()
    stand.moving.set()

    async def is_given_up() -> bool:
        return (await stand.now()).state is State.PENDING

    await until(is_given_up)
    assert len(stand.browser.open_now) == 1
    await stand.site.run("s")

    instance = await stand.over(hosted)
    assert (instance.state, instance.runner) == (State.RUNNING, "s")


async def test_a_page_stays_until_then_though_the_answer_of_redis_is_lost(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = stand.site.instances
    change, find, lost, looks = instances.change, instances.find, list[str](), list[str]()

    async def lose_an_answer(*of: Any, **fields: Any) -> Change:
        changed = await change(*of, **fields)
        if of[2] is State.PENDING and not lost:
            lost.append(of[0])
            looks.clear()
            raise RedisUnavailable("The answer is lost.")
        return changed

    async def look(address: str) -> Instance | None:
        looks.append(address)
        return await find(address)

    monkeypatch.setattr(module, "_AGAIN", 0.01)
    monkeypatch.setattr(instances, "change", lose_an_answer)
    monkeypatch.setattr(instances, "find", look)
    await instances.see_to("s", 0)  # is there
    hosted = await stand.host()
    await stand.until_running()
    stand.moving.set()

    async def waits_for_the_next() -> bool:
        return bool(lost and looks)

    await until(waits_for_the_next)
    assert len(stand.browser.open_now) == 1
    await stand.site.run("s")

    instance = await stand.over(hosted)
    assert (instance.state, instance.runner) == (State.RUNNING, "s")


async def test_where_there_is_no_other_runner_the_instance_waits_for_one(stand: Stand) -> None:
    hosted = await stand.host()
    await stand.until_running()
    await stand.site.instances.leave("r")

    stand.moving.set()

    instance = await stand.over(hosted)
    assert (instance.state, instance.runner) == (State.PENDING, "")
    assert instance.reason == "Its runner stops."


async def test_the_ticket_for_its_files_ends_with_it(stand: Stand) -> None:
    hosted = await stand.host()
    await stand.until_running()
    ticket = stand.browser.opened[0].assignment.url.partition("/~")[2].partition("/")[0]
    assert await stand.site.pages.opens(ticket, "ann/adder") == 1
    await stand.site.instances.end(ADDRESS)

    await stand.over(hosted)

    assert await stand.site.pages.opens(ticket, "ann/adder") is None
