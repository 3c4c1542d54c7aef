"""Server apps outlive gateways and runners: each is run once at a time, under one client id."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.web.assets.catalogue import find, is_complete
from tests.cluster.instance_history import Beat, Launch, Record
from tests.cluster.report import Report
from tests.gateways import SECOND, Gateway
from tests.raw_client import Rejected, call_envelope
from tests.server_apps import ADDER, LIMIT, Cluster, Runner, User, app_cluster

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

SLOW = "await new Promise((done) => setTimeout(done, 1500)); api.export({ who: () => me });"
BEATING = """
  const me = Math.random().toString(36);
  const heart = await api.getService("heart");
  setInterval(() => heart.beat(config.client_id, me).catch(() => {}), 50);
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


class Crowd:
    """Twenty who ask for one app, the heartbeats of its pages, and what they all saw."""

    def __init__(self, redis: RedisClient, prefix: str) -> None:
        self._redis = redis
        self._instances = Instances(redis, Keys(prefix))
        self._prefix = prefix
        self.beats: list[Beat] = []
        self.launches: list[Launch] = []

    async def listen(self, user: User) -> None:
        """Take heartbeats, as a client of the workspace."""

        def beat(client: str, page: str) -> None:
            self.beats.append(Beat(time.time(), f"ann/{client}", page))

        await user.client.offer("heart", beat=beat)

    async def hears(self, *, pages: int = 0, beats: int = 0) -> None:
        """Wait for heartbeats, so many, and of so many pages."""
        async with asyncio.timeout(LIMIT):
            while len({beat.page for beat in self.beats}) < pages or len(self.beats) < beats:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def ask(self, users: list[User]) -> None:
        many = [users[number % len(users)] for number in range(20)]
        names = [f"ask {len(self.launches) + number}" for number in range(20)]
        await asyncio.gather(*(self._ask(*each) for each in zip(names, many, strict=True)))

    async def _ask(self, name: str, user: User) -> None:
        asked = time.time()
        service = await user.get_service({"client_name": "lazy", "launch": True})
        address = service["id"].rpartition(":")[0]
        self.launches.append(Launch(name, "lazy", asked, time.time(), (address,)))

    async def record(self) -> Record:
        key = Keys(self._prefix).instance_history("")
        streams = [name async for name in self._redis.keys_like(f"{key}*")]
        addresses = [name.removeprefix(key) for name in streams]
        steps = {address: await self._instances.history(address) for address in addresses}
        return Record(steps, dict.fromkeys(addresses, "lazy"), self.beats, self.launches)


async def test_twenty_who_ask_get_one_instance_whatever_dies(
    cluster: Cluster,
    users: AsyncExitStack,
    redis: Redis,
    redis_client: RedisClient,
    redis_prefix: str,
) -> None:
    gateways = [cluster.gateway() for _ in range(3)]
    runners = [cluster.runner(gateways[0].url) for _ in range(2)]
    first, second = [await enter(users, gateway) for gateway in gateways[1:]]
    crowd = Crowd(redis_client, redis_prefix)
    await crowd.listen(second)
    await second("install", f"{BEATING} {SLOW}", config={"type": "window", "name": "lazy"})
    clients = set()

    # The pages reach the hub by the first gateway, and by another one when that is gone.
    for dying, askers in ((gateways[0], [first, second]), (gateways[1], [second])):
        asked = asyncio.create_task(crowd.ask(askers))
        async with asyncio.timeout(LIMIT):
            while not {"starting", "running"} & {*(await second.states()).values()}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        (client,) = await second.states()
        (await holder(second, runners, redis, redis_prefix, client)).kill()
        dying.kill()
        await asked
        clients.add(client)
        assert await second.states() == {client: "running"}
        runners.append(cluster.runner(gateways[0].url))
        await second("stop_all")

    record = await crowd.record()
    record.check()
    assert {launch.answers for launch in crowd.launches} == {(f"ann/{each}",) for each in clients}
    assert len(crowd.launches) == 40
    assert {beat.instance for beat in crowd.beats} == set(record.steps)
    assert all(max(step.epoch for step in steps) >= 2 for steps in record.steps.values())


async def test_an_app_runs_on_where_its_runner_is_killed_or_stopped(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str, report: Report
) -> None:
    """A server app that adds two numbers is installed and started in a window, with one gateway and
    two runners. SIGKILL ends its runner, and the other runner takes over. When a third runner is
    there, SIGTERM stops the second. After each step the app is called again and again until it
    answers.
    """
    gateway = cluster.gateway()
    runners = [cluster.runner(gateway.url) for _ in range(2)]
    ann = await enter(users, gateway)
    installed = time.monotonic()
    app = await ann.launch(ADDER)
    await until_answered(ann, app)
    answered = time.monotonic()
    first = await holder(ann, runners, redis, redis_prefix, app["id"])
    (second,) = (runner for runner in runners if runner is not first)

    first.kill()
    killed = time.monotonic()
    await until_answered(ann, app)
    ran_again = time.monotonic()
    third = cluster.runner(gateway.url)
    stopped = time.monotonic()
    second.end(signal.SIGTERM)
    await until_answered(ann, app)
    report.note(
        "an app is installed, and its runner dies",
        seconds_from_install_to_the_first_answer=answered - installed,
        seconds_from_the_death_of_a_runner_to_an_answer=ran_again - killed,
        seconds_from_the_stop_of_a_runner_to_an_answer=time.monotonic() - stopped,
    )

    await ann.until(app["id"], "running")
    assert await holder(ann, [third], redis, redis_prefix, app["id"]) is third
    await ann("stop", app["id"])
    async with asyncio.timeout(LIMIT):
        while third.pages() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


COUNTER = """
  const me = Math.random().toString(36);
  const pause = () => new Promise((done) => setTimeout(done, 200));
  const config = { visibility: "public" };
  await api.registerService({ id: "counter", config,
    count: async (n) => { await pause(); return [me, n + 1]; } });
  api.export({});
"""


class Callers:
    """Four who call the service of an app without end; each call is answered, or refused."""

    def __init__(self, address: str, users: list[User]) -> None:
        self._address = address
        self._users = users
        self._tasks: list[asyncio.Task[None]] = []
        self.pages: list[str] = []  # that have answered, the last one last
        self.refused: list[str] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call(user)) for user in self._users * 2]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let what is under way end."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    async def _call(self, user: User) -> None:
        number = 0
        while self._tasks:
            number += 1
            try:
                async with asyncio.timeout(2 * LIMIT):
                    page, answer = await user.place(self._address, "services.counter.count", number)
            except Rejected as error:
                self.refused.append(str(error))
                await asyncio.sleep(0.1)
            else:
                assert answer == number + 1
                self.pages.append(page)

    async def until_answered(self, by: int) -> None:
        """Wait until so many pages have answered, the last of them a few times."""
        async with asyncio.timeout(2 * LIMIT):
            while len(set(self.pages)) < by or len(set(self.pages[-12:])) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_daemon_moves_when_its_runner_is_killed_or_stopped(
    cluster: Cluster, users: AsyncExitStack, redis: Redis, redis_prefix: str
) -> None:
    gateways = [cluster.gateway() for _ in range(2)]
    runners = [cluster.runner(gateway.url) for gateway in gateways]
    ann, bob = [await enter(users, gateway) for gateway in gateways]
    await ann("install", COUNTER, config={"type": "window", "name": "counter", "daemon": True})
    async with asyncio.timeout(LIMIT):
        while list((await ann.states()).values()) != ["running"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (client,) = await ann.states()

    async with Callers(f"ann/{client}", [ann, bob]) as callers:
        await callers.until_answered(1)
        first = await holder(ann, runners, redis, redis_prefix, client)
        (second,) = (runner for runner in runners if runner is not first)
        first.kill()
        await callers.until_answered(2)
        await ann.until(client, "running")
        killed = len(callers.refused)
        third = cluster.runner(gateways[0].url)
        assert second.end(signal.SIGTERM) == 0
        await callers.until_answered(3)

    assert callers.refused[killed:] == []
    order = list(dict.fromkeys(callers.pages))
    assert len(order) == 3
    assert callers.pages == sorted(callers.pages, key=order.index)
    await ann.until(client, "running")
    assert list(await ann.states()) == [client]
    assert await holder(ann, [third], redis, redis_prefix, client) is third


async def test_an_app_in_python_takes_its_time(
    cluster: Cluster, users: AsyncExitStack, report: Report
) -> None:
    """A server app that adds two numbers in Python (by Pyodide, which the hub serves) is installed
    and started on a runner that has run no such app before. Then it is started once more, from the
    same files.
    """
    pyodide = find("pyodide")
    if not pyodide or not is_complete(pyodide):
        pytest.skip("pyodide is missing; `make install` fetches it")
    gateway = cluster.gateway()
    cluster.runner(gateway.url, app_network="hub")
    ann = await enter(users, gateway)

    began = time.monotonic()
    first = await ann.launch("api.export({'add': lambda a, b: a + b})", "web-python")
    assert await ann.ask(first, "add", 2, 3) == 5
    answered = time.monotonic()
    second = await ann("start", first["app_id"])
    assert await ann.ask(second, "add", 2, 3) == 5

    report.note(
        "an app in Python is installed",
        seconds_from_install_to_the_first_answer=answered - began,
        seconds_from_the_next_start_to_an_answer=time.monotonic() - answered,
    )


async def test_a_page_takes_memory(cluster: Cluster, users: AsyncExitStack, report: Report) -> None:
    """The memory of a runner with its browser is measured while it is idle, and again with four
    windows of an app that adds two numbers. Memory that several processes share is divided among
    them (Pss).
    """
    gateway = cluster.gateway()
    runner = cluster.runner(gateway.url)
    ann = await enter(users, gateway)
    idle = runner.memory()

    for number in range(4):
        await ann.launch(f"{ADDER} // {number}")
    each = (runner.memory() - idle) / 4

    report.note(
        "a runner, and the windows that it has",
        MB_of_a_runner_that_is_idle=round(idle / 1e6),
        MB_more_for_each_window=round(each / 1e6),
    )
    assert idle > each > 1e6


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
    cluster: Cluster,
    users: AsyncExitStack,
    redis: Redis,
    redis_client: RedisClient,
    redis_prefix: str,
) -> None:
    gateway = cluster.gateway()
    runners = [cluster.runner(gateway.url) for _ in range(2)]
    ann = await enter(users, gateway)
    crowd = Crowd(redis_client, redis_prefix)
    await crowd.listen(ann)
    app = await ann.launch(f"{BEATING} {ADDER}")
    first = await holder(ann, runners, redis, redis_prefix, app["id"])

    os.kill(first.pid, signal.SIGSTOP)  # its browser goes on
    try:
        await crowd.hears(pages=2)
        await ann.until(app["id"], "running")
        await crowd.hears(beats=len(crowd.beats) + 20)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    async with asyncio.timeout(LIMIT):
        while first.pages() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    record = await crowd.record()
    record.check()
    beats = [beat.page for beat in crowd.beats]
    old, new = dict.fromkeys(beats)
    assert old not in beats[beats.index(new) :]
    assert record.steps[f"ann/{app['id']}"][-1].epoch == 2
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
