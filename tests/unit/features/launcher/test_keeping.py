"""Apps of which there are always some instances, until somebody stops them."""

from redis.asyncio import Redis

from hypha_cluster.features.launcher.installing import Recipe
from hypha_cluster.registry.instance import Scale, Wanted
from tests.app_rig import ANN, PAGE, an_app
from tests.unit.features.launcher.rig import Site

DAEMON = Recipe("api.export({});", {"name": "D", "type": "window", "daemon": True})


def wanted(app: str, **scale: int) -> Wanted:
    return Wanted("ann", "", app, "Adder", PAGE, "default", 60.0, scale=Scale(**scale))


async def test_a_daemon_is_started_unasked_and_others_are_not(site: Site) -> None:
    for key, recipe in {"daemon": DAEMON, "other": None}.items():
        app = await (site.install(key, recipe) if recipe else site.install(key))
        await site.keeper.keep(app, ANN)

    await site.keeper.see_to()

    assert [each.app for each in await site.instances.of_workspace("ann")] == ["daemon"]


async def test_what_is_no_daemon_any_more_is_kept_up_no_longer(site: Site, redis: Redis) -> None:
    app = await site.install("daemon", DAEMON)
    await site.keeper.keep(app, ANN)

    changed = await site.installer.edit(app, "ann", {"config": {"name": "D", "type": "window"}})
    await site.keeper.keep(changed, ANN)

    assert await redis.zcard(site.keys.kept_apps()) == 0


async def test_who_stops_an_instance_or_the_app_has_nothing_come_again(
    site: Site, redis: Redis
) -> None:
    app = await site.install("daemon", DAEMON)
    for stopped in ("app", "instance"):
        await site.keeper.keep(app, ANN)
        await site.keeper.see_to()
        instance = (await site.instances.of_workspace("ann"))[0]

        await site.keeper.release(app if stopped == "app" else instance)
        await site.instances.end(instance.address)

        await site.keeper.see_to()
        assert await redis.zcard(site.keys.kept_apps()) == 0
        await site.instances.forget(instance.address)


async def test_an_app_that_is_not_there_is_kept_up_no_longer(site: Site, redis: Redis) -> None:
    await site.apps.install(an_app("there", 0), {}, {})
    for app in ("gone", "there"):
        await site.kept.keep(wanted(app, least=1))

    await site.keeper.see_to()
    await site.instances.see_to()

    assert await redis.zrange(site.keys.kept_apps(), 0, -1) == [b"ann/there"]
    assert [each.app for each in await site.instances.of_workspace("ann")] == ["there"]
