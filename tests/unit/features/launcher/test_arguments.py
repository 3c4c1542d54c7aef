"""Who asks by the functions of `server-apps`, and about what."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, NotFound, PermissionDenied
from hypha_cluster.features.launcher.arguments import (
    app_of,
    asked_workspace,
    check_client,
    check_named,
)
from tests.unit.features.launcher.rig import BOB, GUEST, Functions, Site

SOURCE, CONFIG = "api.export({});", {"name": "Adder", "type": "window"}


async def test_over_http_the_users_own_workspace_is_made_when_it_is_needed(
    site: Site, functions: Functions
) -> None:
    assert await site.workspaces.find("bob") is None

    manifest = await functions.apps.install(site.context(BOB, None), SOURCE, config=CONFIG)

    assert manifest["id"].startswith("bob/")
    assert (await site.workspaces.get("bob")).owners == ["bob"]


async def test_it_is_the_workspace_that_the_caller_is_in_if_none_is_named(site: Site) -> None:
    assert await asked_workspace(site.context(BOB, "lab"), None) == "lab"
    with pytest.raises(PermissionDenied):
        await asked_workspace(site.context(BOB, "lab"), "ann")


@pytest.mark.parametrize("home", ["ann", None])
async def test_an_app_is_one_of_the_callers_workspace(site: Site, home: str | None) -> None:
    await site.install()

    assert (await app_of(site.context(home=home), "ann/adder", site.apps)).key == "adder"
    with pytest.raises(NotFound):
        await app_of(site.context(home=home), "ann/other", site.apps)
    with pytest.raises((PermissionDenied, NotFound)):
        await app_of(site.context(home=home), "bob/adder", site.apps)


@pytest.mark.parametrize("client", [5, None, "", "a/b", "x" * 999])
def test_a_client_is_named_as_clients_are(client: Any) -> None:
    with pytest.raises(BadRequest):
        check_client(client)
    assert check_client("c") == "c"


async def test_who_is_anonymous_has_no_apps(site: Site) -> None:
    with pytest.raises(PermissionDenied, match="must be authenticated"):
        check_named(site.context(GUEST, "guest"))
