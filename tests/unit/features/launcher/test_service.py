"""The functions of `server-apps`: who may call them, and what they answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, CallTimeout, NotFound, PermissionDenied
from hypha_cluster.features.launcher.installing import Recipe
from hypha_cluster.features.launcher.service import Logbooks, ServerApps
from hypha_cluster.registry.instance_logs import Cursor
from hypha_cluster.registry.instances import State
from tests.app_rig import ANN, wanted
from tests.unit.features.launcher.rig import BOB, GUEST, URL, Site

SOURCE, CONFIG = "api.export({});", {"name": "Adder", "type": "window"}
DAEMON = Recipe(SOURCE, {**CONFIG, "daemon": True})


class Followed:
    """Notes who follows what."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def more(self, address: str, cursor: Cursor, user: str, patience: float) -> list[Any]:
        self.asked.append((address, str(cursor), user, patience))
        return []

    def follow(self, *about: Any) -> Any:
        self.asked.append(about)
        return "a stream"


@pytest.fixture
def followed() -> Followed:
    return Followed()


@pytest.fixture
def apps(site: Site, followed: Any) -> ServerApps:
    return ServerApps(
        site.apps,
        site.instances,
        Logbooks(site.logs, followed),
        site.installer,
        site.starter,
        site.keeper,
    )


async def running(site: Site, starting: Awaitable[Any]) -> Any:
    """What a start answers, when a runner has run what waits."""
    started = asyncio.ensure_future(starting)
    while not started.done():
        await site.run()
        await asyncio.sleep(0.01)
    return await started


async def test_an_app_is_installed_listed_and_removed(site: Site, apps: ServerApps) -> None:
    me = site.context()

    manifest = await apps.install(me, SOURCE, config=CONFIG, app_id="adder")

    assert (manifest["id"], manifest["name"]) == ("ann/adder", "Adder")
    assert manifest["public_url"] == f"{URL}/apps/ann/adder/index.html"
    assert [each["id"] for each in await apps.list_apps(me)] == ["ann/adder"]
    made_of = {"source": SOURCE, "config": CONFIG, "template": None}
    assert await apps.get_source(me, "ann/adder") == made_of
    await apps.uninstall(me, "ann/adder")
    assert await apps.list_apps(me) == []
    with pytest.raises(NotFound):
        await apps.uninstall(me, "ann/adder")


Call = Callable[[ServerApps, Any], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "install": lambda apps, me: apps.install(me, SOURCE, config=CONFIG),
    "edit": lambda apps, me: apps.edit(me, "ann/adder", SOURCE),
    "list_versions": lambda apps, me: apps.list_versions(me, "ann/adder"),
    "rollback": lambda apps, me: apps.rollback(me, "ann/adder"),
    "uninstall": lambda apps, me: apps.uninstall(me, "ann/adder"),
    "get_source": lambda apps, me: apps.get_source(me, "ann/adder"),
    "launch": lambda apps, me: apps.launch(me, SOURCE, config=CONFIG),
    "start": lambda apps, me: apps.start(me, "ann/adder"),
    "stop": lambda apps, me: apps.stop(me, "c", workspace="ann"),
    "stop_all": lambda apps, me: apps.stop_all(me, "ann"),
    "list_running": lambda apps, me: apps.list_running(me, "ann"),
    "get_log": lambda apps, me: apps.get_log(me, "c", workspace="ann"),
    "logs": lambda apps, me: apps.logs(me, "c", workspace="ann"),
    "history": lambda apps, me: apps.history(me, "c", workspace="ann"),
    "list_apps": lambda apps, me: apps.list_apps(me, "ann"),
}


@pytest.mark.parametrize("name", CALLS.keys() - {"install", "launch"})
async def test_apps_of_others_are_theirs(site: Site, apps: ServerApps, name: str) -> None:
    await site.install()
    await site.instances.ask(wanted("c"), shared=False)
    await site.settle(BOB)

    for place in (site.context(BOB, "bob"), site.context(BOB, None)):
        with pytest.raises(PermissionDenied):
            await CALLS[name](apps, place)

    assert (await site.instances.get("ann/c")).state is State.PENDING
    assert len(await site.apps.of_workspace("ann")) == 1


@pytest.mark.parametrize("name", CALLS.keys() - {"list_apps"})
async def test_who_is_anonymous_may_do_nothing(site: Site, apps: ServerApps, name: str) -> None:
    await site.install()
    await site.instances.ask(wanted("c"), shared=False)

    with pytest.raises(PermissionDenied, match="must be authenticated"):
        await CALLS[name](apps, site.context(GUEST, "guest"))


def test_every_function_is_tried_by_those_who_may_not(apps: ServerApps) -> None:
    """But for what only reads what it is given, and the stream, which `_logged` guards as logs."""
    assert {*apps.service().functions} - {*CALLS} == {"parse", "follow"}


async def test_versions_are_listed_and_an_old_one_comes_back(site: Site, apps: ServerApps) -> None:
    me = site.context()
    await apps.install(me, SOURCE, config=CONFIG, app_id="adder")
    await apps.edit(me, "ann/adder", config={**CONFIG, "name": "Second"})

    back = await apps.rollback(me, "ann/adder")

    listed = await apps.list_versions(me, "ann/adder")
    assert back["name"] == "Adder"
    assert [(each["version"], each["name"]) for each in listed] == [
        (3, "Adder"),
        (2, "Second"),
        (1, "Adder"),
    ]
    with pytest.raises(BadRequest, match="is a number, not 'one'"):
        await apps.rollback(me, "ann/adder", "one")


async def test_an_app_is_started_and_stopped(site: Site, apps: ServerApps) -> None:
    me = site.context()
    await site.install()

    started = await running(site, apps.start(me, "ann/adder", "mine"))

    assert (started["id"], started["workspace"], started["name"]) == ("mine", "ann", "Adder")
    (listed,) = await apps.list_running(me)
    assert (listed["id"], listed["status"], listed["state"]) == ("mine", "connected", "running")
    stopping = asyncio.ensure_future(apps.stop(me, "mine"))
    while not stopping.done():
        await site.close_pages()
        await asyncio.sleep(0.01)
    await stopping
    assert await apps.list_running(me) == []
    assert [each["state"] for each in await apps.list_running(me, over=True)] == ["stopped"]


async def test_what_is_not_there_cannot_be_stopped(site: Site, apps: ServerApps) -> None:
    with pytest.raises(NotFound, match="instance not found: c"):
        await apps.stop(site.context(), "c")

    await apps.stop(site.context(), "c", raise_exception=False)
    assert await apps.list_running(site.context(), over=True) == []


async def test_a_start_that_nobody_sees_to_says_so(site: Site, apps: ServerApps) -> None:
    await site.install()

    with pytest.raises(CallTimeout, match="there is no runner"):
        await apps.start(site.context(), "ann/adder", timeout=0.01)

    assert await apps.list_running(site.context()) == []


async def test_a_daemon_is_kept_up_until_all_are_stopped(site: Site, apps: ServerApps) -> None:
    me = site.context()
    await site.install("daemon", DAEMON)
    first = await running(site, apps.start(me, "ann/daemon"))
    again = await apps.start(me, "ann/daemon")
    assert again["id"] == first["id"]

    stopping = asyncio.ensure_future(apps.stop_all(me))
    while not stopping.done():
        await site.close_pages()
        await asyncio.sleep(0.01)

    assert await stopping == 1
    await site.keeper.see_to()
    assert await apps.list_running(me) == []


async def test_who_launches_installs_and_starts(site: Site, apps: ServerApps) -> None:
    launched = await running(site, apps.launch(site.context(), SOURCE, config=CONFIG))

    assert launched["app_id"] in [each["id"] for each in await apps.list_apps(site.context())]


async def test_a_log_is_read_by_kind_and_by_time(site: Site, apps: ServerApps) -> None:
    me = site.context()
    await site.instances.ask(wanted("c"), shared=False)
    await site.logs.write("ann/c", "log", ["one", "two"])
    await site.logs.write("ann/c", "error", ["bad"])

    by_time = await apps.logs(me, "c", offset=1, limit=1)

    assert await apps.get_log(me, "c", "log", 1) == ["two"]
    assert await apps.get_log(me, "c") == {"error": ["bad"], "log": ["one", "two"]}
    assert (by_time["total"], len(by_time["items"])) == (3, 1)
    steps = await apps.history(me, "c")
    assert [(step["from"], step["to"]) for step in steps] == [("", "pending")]


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"offset": -1}, "'offset' is a number of entries"),
        ({"limit": True}, "'limit' is a number of entries"),
        ({"after": 5}, "'after' is the cursor"),
        ({"after": "x"}, "'after' is the cursor"),
        ({"after": "", "wait": "long"}, "'wait' is a number of seconds"),
        ({"after": "", "wait": float("nan")}, "'wait' is a number of seconds"),
    ],
)
async def test_bad_questions_about_logs_are_told_what_is_wrong(
    site: Site, apps: ServerApps, about: dict[str, Any], says: str
) -> None:
    await site.instances.ask(wanted("c"), shared=False)

    with pytest.raises(BadRequest, match=says):
        await apps.logs(site.context(), "c", **about)


async def test_who_asks_for_more_waits_within_bounds(
    site: Site, apps: ServerApps, followed: Followed
) -> None:
    await site.instances.ask(wanted("c"), shared=False)

    answer = await apps.logs(site.context(), "c", after="", wait=9_999)

    assert answer == {"items": [], "cursor": ",,,,"}
    assert followed.asked == [("ann/c", ",,,,", "ann", 25.0)]


async def test_a_stream_is_for_http(site: Site, apps: ServerApps, followed: Followed) -> None:
    await site.instances.ask(wanted("c"), shared=False)

    with pytest.raises(BadRequest, match="A stream is for HTTP"):
        await apps.follow(site.context(), "c")
    over_http = site.context(ANN, "ann", by_websocket=False)
    stream: object = await apps.follow(over_http, "c", workspace="ann")
    assert stream == "a stream"


async def test_over_http_the_users_own_workspace_is_made_when_it_is_needed(
    site: Site, apps: ServerApps
) -> None:
    assert await site.workspaces.find("bob") is None

    manifest = await apps.install(site.context(BOB, None), SOURCE, config=CONFIG)

    assert manifest["id"].startswith("bob/")
    assert (await site.workspaces.get("bob")).owners == ["bob"]


async def test_a_query_starts_the_app_that_offers_what_it_asks_for(
    site: Site, apps: ServerApps
) -> None:
    await site.install("adder", Recipe(SOURCE, {**CONFIG, "services": ["sums"]}))
    launch = apps.service().launch
    assert launch is not None

    address, service = await running(
        site, launch(site.context(), {"id": "sums", "workspace": "ann"})
    )

    assert (service, (await site.instances.get(address)).app) == ("sums", "adder")
    with pytest.raises(PermissionDenied):
        await launch(site.context(BOB, "bob"), {"id": "sums", "workspace": "ann"})
    with pytest.raises(NotFound, match="no app that offers 'other'"):
        await launch(site.context(), {"id": "other", "workspace": "ann"})


async def test_a_plugin_file_is_read_and_not_installed(site: Site, apps: ServerApps) -> None:
    file = '<config lang="json">{"name": "A"}</config><script>1</script>'

    assert (await apps.parse(site.context(), file))["name"] == "A"
    assert await apps.list_apps(site.context()) == []
