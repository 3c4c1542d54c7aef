"""Server apps outlive gateways and runners: each is run once at a time, under one client id."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.gateways import SECOND, Gateway
from tests.raw_client import Rejected, call_envelope
from tests.server_apps import ADDER, LIMIT, Cluster, Runner, User, app_cluster

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

SLOW = "await new Promise((done) => setTimeout(done, 1500)); api.export({ who: () => me });"
BEATING = """
  const me = Math.random().toString(36);
  const heart = await api.getService("heart");
  setInterval(() => heart.beat(me).catch(() => {}), 50);
"""


@pytest.fixture
def cluster(valkey_url: str, redis_prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        yield cluster


@pytest.fixture
async def users() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def enter(users: AsyncExitStack, gateway: Gateway) -> User:
    return await users.enter_async_context(await User.connect(gateway.url))


async def field(redis: Redis, key: str, name: str) -> str:
    value = await redis.hget(key, name)
    return value.decode() if isinstance(value, bytes) else ""


async def holder(ann: User, runners: list[Runner], redis: Redis, prefix: str, app: str) -> Runner:
    """The runner that has an instance, once there is one."""
    async with asyncio.timeout(LIMIT):
        while True:
            name = await field(redis, f"{prefix}:{{:apps}}:instance:ann/{app}", "runner")
            for runner in runners:
                if name and name in runner.log():
                    return runner
            await asyncio.sleep(0.05)


async def test_twenty_who_ask_get_one_instance_whatever_dies(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str
) -> None:
    gateways = [cluster.gateway() for _ in range(3)]
    runners = [cluster.runner(gateways[0].url) for _ in range(2)]
    askers = [await enter(users, gateways[1 + number % 2]) for number in range(2)]
    slow = f"const me = 'x'; {SLOW}"
    await askers[0]("install", slow, config={"type": "window", "name": "lazy"})
    query = {"client_name": "lazy", "launch": True}

    asked = [asyncio.create_task(askers[number % 2].get_service(query)) for number in range(20)]
    async with asyncio.timeout(LIMIT):
        while not {"starting", "running"} & {*(await askers[0].states()).values()}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    (client,) = await askers[0].states()
    (await holder(askers[0], runners, redis, redis_prefix, client)).kill()
    gateways[0].kill()
    found = await asyncio.gather(*asked)

    assert {service["id"] for service in found} == {f"ann/{client}:default"}
    assert await askers[1].states() == {client: "running"}
    assert await askers[0].place(f"ann/{client}", "services.default.who") == "x"


async def test_an_app_runs_on_where_its_runner_is_killed_or_stopped(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str
) -> None:
    gateway = cluster.gateway()
    runners = [cluster.runner(gateway.url) for _ in range(2)]
    ann = await enter(users, gateway)
    app = await ann.launch(ADDER)
    first = await holder(ann, runners, redis, redis_prefix, app["id"])
    (second,) = (runner for runner in runners if runner is not first)

    first.kill()
    await until_answered(ann, app)
    third = cluster.runner(gateway.url)
    second.end(signal.SIGTERM)
    await until_answered(ann, app)

    await ann.until(app["id"], "running")
    assert await holder(ann, [third], redis, redis_prefix, app["id"]) is third
    await ann("stop", app["id"])
    async with asyncio.timeout(LIMIT):
        while third.pages() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def until_answered(ann: User, app: dict[str, Any]) -> None:
    """Call an app again and again; each call is answered or refused in time."""
    async with asyncio.timeout(2 * LIMIT):
        while True:
            try:
                async with asyncio.timeout(40 * SECOND):
                    if await ann.ask(app, "add", 2, 3) == 5:
                        return
            except Rejected:
                await asyncio.sleep(0.2)


async def test_a_runner_that_freezes_is_fenced_off(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str
) -> None:
    gateway = cluster.gateway()
    runners = [cluster.runner(gateway.url) for _ in range(2)]
    ann = await enter(users, gateway)
    beats: list[str] = []
    await ann.client.offer("heart", beat=beats.append)
    app = await ann.launch(f"{BEATING} {ADDER}")
    first = await holder(ann, runners, redis, redis_prefix, app["id"])
    instance = f"{redis_prefix}:{{:apps}}:instance:ann/{app['id']}"

    os.kill(first.pid, signal.SIGSTOP)  # its browser goes on
    try:
        async with asyncio.timeout(LIMIT):
            while len(set(beats)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await ann.until(app["id"], "running")
        many = len(beats)
        async with asyncio.timeout(LIMIT):
            while len(beats) < many + 20:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    async with asyncio.timeout(LIMIT):
        while first.pages() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    old, new = dict.fromkeys(beats)
    assert old not in beats[beats.index(new) :]
    assert await redis.hget(instance, "epoch") == b"2"
    assert await ann.states() == {app["id"]: "running"}
    assert await ann.ask(app, "add", 1, 2) == 3


async def test_what_crashes_again_and_again_has_failed_in_the_end(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str
) -> None:
    gateway = cluster.gateway()
    cluster.runner(gateway.url)
    ann = await enter(users, gateway)
    app = await ann.launch("api.export({ leave() { location.href = 'about:blank'; } });")
    instance = f"{redis_prefix}:{{:apps}}:instance:ann/{app['id']}"

    leave = call_envelope(f"ann/{app['id']}", "services.default.leave")
    await ann.client.send(leave, {})
    async with asyncio.timeout(LIMIT):
        while await field(redis, instance, "restarts") != "1":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await ann.until(app["id"], "running")
    await redis.hset(instance, "restarts", "10")  # as if it had done so for a while
    await ann.client.send(leave, {})
    await ann.until(app["id"], None)

    assert await field(redis, instance, "state") == "failed"
    reason = await field(redis, instance, "reason")
    assert reason.startswith("It has crashed 10 times in a row: The page has gone elsewhere")
