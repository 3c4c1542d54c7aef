"""Who may call which function of `server-apps`."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.registry.instance import State
from tests.app_rig import wanted
from tests.unit.features.launcher.rig import BOB, GUEST, Functions, Site

SOURCE, CONFIG = "api.export({});", {"name": "Adder", "type": "window"}
Call = Callable[[Functions, Any], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "install": lambda of, me: of.apps.install(me, SOURCE, config=CONFIG),
    "edit": lambda of, me: of.apps.edit(me, "ann/adder", SOURCE),
    "list_versions": lambda of, me: of.apps.list_versions(me, "ann/adder"),
    "rollback": lambda of, me: of.apps.rollback(me, "ann/adder"),
    "uninstall": lambda of, me: of.apps.uninstall(me, "ann/adder"),
    "get_source": lambda of, me: of.apps.get_source(me, "ann/adder"),
    "launch": lambda of, me: of.instances.launch(me, SOURCE, config=CONFIG),
    "start": lambda of, me: of.instances.start(me, "ann/adder"),
    "stop": lambda of, me: of.instances.stop(me, "c", workspace="ann"),
    "stop_all": lambda of, me: of.instances.stop_all(me, "ann"),
    "list_running": lambda of, me: of.instances.list_running(me, "ann"),
    "get_log": lambda of, me: of.logs.get_log(me, "c", workspace="ann"),
    "logs": lambda of, me: of.logs.logs(me, "c", workspace="ann"),
    "history": lambda of, me: of.logs.history(me, "c", workspace="ann"),
    "list_apps": lambda of, me: of.apps.list_apps(me, "ann"),
}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"install", "launch"}))
async def test_apps_of_others_are_theirs(site: Site, functions: Functions, name: str) -> None:
    await site.install()
    await site.pages.ask(wanted("c"), shared=False)
    await site.settle(BOB)

    for place in (site.context(BOB, "bob"), site.context(BOB, None)):
        with pytest.raises(PermissionDenied):
            await CALLS[name](functions, place)

    assert (await site.instances.get("ann/c")).state is State.PENDING
    assert len(await site.apps.of_workspace("ann")) == 1


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"list_apps"}))
async def test_who_is_anonymous_may_do_nothing(site: Site, functions: Functions, name: str) -> None:
    await site.install()
    await site.pages.ask(wanted("c"), shared=False)

    with pytest.raises(PermissionDenied, match="must be authenticated"):
        await CALLS[name](functions, site.context(GUEST, "guest"))


def test_every_function_is_tried_by_those_who_may_not(functions: Functions) -> None:
    """But for what only reads what it is given, and the stream, which `_logged` guards as logs."""
    assert {*functions.service().functions} - {*CALLS} == {"parse", "follow"}
