"""What runs by the functions of `server-apps`: it is started, listed and stopped."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from hypha_cluster.errors import CallTimeout, NotFound, PermissionDenied
from hypha_cluster.features.launcher.installing import Recipe
from tests.unit.features.launcher.rig import BOB, Functions, Site

SOURCE, CONFIG = "api.export({});", {"name": "Adder", "type": "window"}
DAEMON = Recipe(SOURCE, {**CONFIG, "daemon": True})


async def running(site: Site, starting: Awaitable[Any]) -> Any:
    """What a start answers, when a runner has run what waits."""
    started = asyncio.ensure_future(starting)
    while not started.done():
        await site.run()
        await asyncio.sleep(0.01)
    return await started


async def test_an_app_is_started_and_stopped(site: Site, functions: Functions) -> None:
    me = site.context()
    await site.install()

    started = await running(site, functions.instances.start(me, "ann/adder", "mine"))

    assert (started["id"], started["workspace"], started["name"]) == ("mine", "ann", "Adder")
    (listed,) = await functions.instances.list_running(me)
    assert (listed["id"], listed["status"], listed["state"]) == ("mine", "connected", "running")
    assert listed["runner"] == "r"
    stopping = asyncio.ensure_future(functions.instances.stop(me, "mine"))
    while not stopping.done():
        await site.close_pages()
        await asyncio.sleep(0.01)
    await stopping
    assert await functions.instances.list_running(me) == []
    assert [each["state"] for each in await functions.instances.list_running(me, over=True)] == [
        "stopped"
    ]


async def test_what_is_not_there_cannot_be_stopped(site: Site, functions: Functions) -> None:
    with pytest.raises(NotFound, match="instance not found: c"):
        await functions.instances.stop(site.context(), "c")

    await functions.instances.stop(site.context(), "c", raise_exception=False)
    assert await functions.instances.list_running(site.context(), over=True) == []


async def test_a_start_that_nobody_sees_to_says_so(site: Site, functions: Functions) -> None:
    await site.install()

    with pytest.raises(CallTimeout, match="there is no runner"):
        await functions.instances.start(site.context(), "ann/adder", timeout=0.01)

    assert await functions.instances.list_running(site.context()) == []


async def test_a_daemon_is_kept_up_until_all_are_stopped(site: Site, functions: Functions) -> None:
    me = site.context()
    await site.install("daemon", DAEMON)
    first = await running(site, functions.instances.start(me, "ann/daemon"))
    again = await functions.instances.start(me, "ann/daemon")
    assert again["id"] == first["id"]

    stopping = asyncio.ensure_future(functions.instances.stop_all(me))
    while not stopping.done():
        await site.close_pages()
        await asyncio.sleep(0.01)

    assert await stopping == 1
    await site.keeper.see_to()
    assert await functions.instances.list_running(me) == []


async def test_who_launches_installs_and_starts(site: Site, functions: Functions) -> None:
    launched = await running(
        site, functions.instances.launch(site.context(), SOURCE, config=CONFIG)
    )

    assert launched["app_id"] in [
        each["id"] for each in await functions.apps.list_apps(site.context())
    ]


async def test_a_query_starts_the_app_that_offers_what_it_asks_for(
    site: Site, functions: Functions
) -> None:
    await site.install("adder", Recipe(SOURCE, {**CONFIG, "services": ["sums"]}))
    launch = functions.service().launch
    assert launch is not None

    address, service = await running(
        site, launch(site.context(), {"id": "sums", "workspace": "ann"})
    )

    assert (service, (await site.instances.get(address)).app) == ("sums", "adder")
    with pytest.raises(PermissionDenied):
        await launch(site.context(BOB, "bob"), {"id": "sums", "workspace": "ann"})
    with pytest.raises(NotFound, match="no app that offers 'other'"):
        await launch(site.context(), {"id": "other", "workspace": "ann"})
