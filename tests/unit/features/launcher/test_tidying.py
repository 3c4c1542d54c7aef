"""Apps go with their workspaces, and instances with the last who could use them."""

import pytest
from redis.asyncio import Redis

from hypha_cluster.features.launcher.tidying import Tidying
from hypha_cluster.identity.access import Workspace
from hypha_cluster.registry.instance import OVER
from tests.app_rig import ANN, PAGE, an_app, wanted
from tests.unit.features.launcher.rig import Site


@pytest.fixture
def tidying(site: Site) -> Tidying:
    return Tidying(site.apps, site.instances, site.workspaces, site.kept, site.redis, site.keys)


async def test_apps_go_with_their_workspace_when_it_is_missing_twice(
    site: Site, tidying: Tidying, redis: Redis
) -> None:
    """Once may be the moment in which it is made anew."""
    await site.install()
    await site.pages.ask(wanted("c"), shared=False)
    await tidying.remove_lost_apps()
    assert await site.apps.of_workspace("ann")
    await redis.delete(site.keys.workspace("ann"))

    await tidying.remove_lost_apps()
    assert len(await site.apps.of_workspace("ann")) == 1
    await tidying.remove_lost_apps()

    assert await site.apps.of_workspace("ann") == []
    assert await site.apps.workspaces() == []
    await site.instances.see_to()
    assert await site.instances.find("ann/c") is None


async def test_a_workspace_that_came_back_keeps_its_apps(
    site: Site, tidying: Tidying, redis: Redis
) -> None:
    await site.install()
    await redis.delete(site.keys.workspace("ann"))
    await tidying.remove_lost_apps()
    await site.settle()

    await tidying.remove_lost_apps()
    await redis.delete(site.keys.workspace("ann"))
    await tidying.remove_lost_apps()

    assert len(await site.apps.of_workspace("ann")) == 1


@pytest.mark.parametrize(
    ("is_persistent", "clients", "is_ended"),
    [
        (False, {"page"}, True),
        (False, set(), True),
        (False, {"page", "person"}, False),
        (True, {"page"}, False),
    ],
)
async def test_pages_alone_keep_no_workspace(
    site: Site,
    tidying: Tidying,
    redis: Redis,
    is_persistent: bool,
    clients: set[str],
    is_ended: bool,
) -> None:
    await site.workspaces.create(Workspace("lab", owners=[ANN.id], persistent=is_persistent))
    await site.pages.ask(wanted("page")._replace(workspace="lab", user=PAGE), shared=False)
    await site.apps.install(an_app("adder", 0), {}, {})
    for client in clients:
        await redis.sadd(site.keys.clients("lab"), client)

    await tidying.end_left_instances()

    assert ((await site.instances.get("lab/page")).state in OVER) is is_ended
