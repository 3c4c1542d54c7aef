"""Installed apps in a real Redis: their bounds hold at once, and nothing is lost or left."""

import asyncio
import secrets

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import NotFound, TooLarge
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_SIZE, APP_VERSIONS, APPS_SIZE
from hypha_cluster.registry.apps import App, AppFile, Apps
from hypha_cluster.registry.keys import Keys
from tests.app_rig import an_app


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_installs_at_once_have_one_bound(
    redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    apps = Apps(redis_client, keys)
    many = APPS_SIZE // APP_SIZE
    outcomes = await asyncio.gather(
        *(apps.install(an_app(f"a{each}", APP_SIZE), {}, {}) for each in range(many + 5)),
        return_exceptions=True,
    )

    refused = [type(each) for each in outcomes if isinstance(each, BaseException)]
    assert refused == [TooLarge] * 5
    first = (await apps.of_workspace("ann"))[0]
    await apps.install(first, {}, {})  # in its own place
    await apps.uninstall("ann", first.key)
    await apps.install(an_app("small", APP_SIZE), {}, {})
    await apps.forget("ann")
    assert [key async for key in redis.scan_iter(f"{keys.prefix}:*app*")] == []


async def test_a_workspace_keeps_versions_while_there_is_room(
    redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    apps, body = Apps(redis_client, keys), b"x" * 1_000

    def version(number: int, size: int) -> App:
        files = {"index.html": AppFile(size, f"d{number}"), "same.bin": AppFile(1_000, "same")}
        return App("ann", "big", {"name": f"v{number}"}, files, "ann", 1, {})

    for number in range(APP_VERSIONS + 2):
        content = {"index.html": b"y"} | ({"same.bin": body} if number == 0 else {})
        await apps.install(version(number, 100), content, {})
    put = await apps.get("ann", "big")
    assert put.version == APP_VERSIONS + 2
    kept = await apps.versions(put)
    assert [each.app.version for each in kept] == [*range(APP_VERSIONS + 2, 2, -1)]
    assert await apps.content(kept[-1].app, "same.bin") == body  # which only the first had with it
    assert await redis.hget(keys.app_sizes("ann"), "big") == b"%d" % (1_000 + 100 * APP_VERSIONS)

    huge = await apps.install(version(99, APPS_SIZE - 1_050), {"index.html": b"z"}, {})
    assert [each.app.version for each in await apps.versions(huge)] == [huge.version]
    with pytest.raises(TooLarge):
        await apps.install(version(100, APPS_SIZE), {"index.html": b"z"}, {})
    assert (await apps.get("ann", "big")).name == "v99"
    with pytest.raises(NotFound, match="has no such version any more"):
        await apps.restore(kept[0].app, "ann")
    held = {*await redis.hkeys(keys.app("ann", "big"))}
    digests = ("d99", "same", huge.recipe.digest)
    assert held == {
        *(b"present", b"oldest", b"call"),
        *(f"{part}:{huge.version}".encode() for part in ("version", "digests", "made")),
        *(f"content:{digest}".encode() for digest in digests),
    }


async def test_an_install_that_is_sent_again_is_one_version(
    redis_client: RedisClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps, content = Apps(redis_client, keys), {"index.html": b"x"}
    monkeypatch.setattr(secrets, "token_hex", lambda _: "this call")

    sent = [await apps.install(an_app("a", 1), content, {"source": "s"}) for _ in range(2)]
    monkeypatch.undo()
    same = await apps.install(an_app("a", 1), content, {"source": "s"})
    other = await apps.install(an_app("a", 1), content, {"source": "t"})

    assert [each.version for each in (*sent, same, other)] == [1, 1, 1, 2]
