"""Instances of apps in a real browser: how many there are, where, and what they may use."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from tests.gateways import Gateway
from tests.http import ask
from tests.raw_client import Rejected
from tests.server_apps import ADDER, LIMIT, Runner, User, app_cluster

pytestmark = pytest.mark.browser

# What does nothing for as long as it is told.
SLEEPER = """
  const born = Math.random().toString(36);
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const rest = async (ms) => { await pause(ms); return born; };
  api.export({ who: () => born, rest });
"""


class Place(NamedTuple):
    """Two gateways and a runner whose pages are measured and stopped soon."""

    first: Gateway
    second: Gateway
    runner: Runner


@pytest.fixture(scope="module")
def place(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    prefix = f"instances-{secrets.token_hex(4)}"
    with app_cluster(tmp_path_factory.mktemp("instances"), valkey_url, prefix) as cluster:
        first, second = cluster.gateway(), cluster.gateway()
        runner = cluster.runner(first.url, app_page_memory=300, app_cpu_time=3.0)
        yield Place(first, second, runner)


@pytest.fixture
async def ann(place: Place) -> AsyncIterator[User]:
    async with await User.connect(place.first.url) as user:
        yield user
        for app in await user("list_apps"):
            await user("uninstall", app["id"])


@pytest.fixture
async def elsewhere(place: Place) -> AsyncIterator[User]:
    """Ann, at the other gateway."""
    async with await User.connect(place.second.url) as user:
        yield user


async def install(user: User, source: str, name: str, **config: Any) -> dict[str, Any]:
    config = {"type": "window", "name": name, **config}
    manifest: dict[str, Any] = await user("install", source, config=config)
    return manifest


async def until_states(user: User, *states: str) -> dict[str, str]:
    """Wait until the instances are in just these states."""
    async with asyncio.timeout(LIMIT):
        while sorted((found := await user.states()).values()) != sorted(states):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def test_who_is_not_called_stops_and_starts_when_it_is_wanted(
    place: Place, ann: User, elsewhere: User
) -> None:
    manifest = await install(ann, SLEEPER, "lazy", stop_after_inactive=3)
    assert manifest["stop_after_inactive"] == 3
    query = {"client_name": "lazy", "launch": True}
    first = await ann.get_service(query)
    who, rest = first["who"], first["rest"]

    for _ in range(4):  # a call elsewhere, by a client that is not told to whom it belongs
        await elsewhere.place(who["_rtarget"], who["_rmethod"])
        await asyncio.sleep(1)
    assert list((await ann.states()).values()) == ["running"]
    await elsewhere.place(rest["_rtarget"], rest["_rmethod"], 5_000)  # longer than it may be idle
    assert list((await ann.states()).values()) == ["running"]
    await until_states(ann)

    second = await elsewhere.get_service(query)
    assert second["id"] != first["id"]
    assert await elsewhere.place(second["who"]["_rtarget"], second["who"]["_rmethod"])


async def test_a_request_over_http_is_a_call(place: Place, ann: User) -> None:
    source = """
      const config = { visibility: "public" };
      await api.registerService({ id: "site", type: "functions", config,
        index: () => ({ status: 200, headers: {}, body: "here" }) });
      api.export({});
    """
    await install(ann, source, "site", stop_after_inactive=3, services=["site"])
    await ann.get_service({"client_name": "site", "launch": True})

    for _ in range(5):
        answer = await ask(f"{place.second.url}/ann/apps/site/")
        assert answer.body == b"here"
        await asyncio.sleep(1)
    await until_states(ann)


async def test_load_is_shared_among_as_many_as_it_takes(ann: User, elsewhere: User) -> None:
    config = {"max_instances": 3, "target_requests_per_instance": 2, "stop_after_inactive": 4}
    await install(ann, SLEEPER, "many", **config)
    query = {"client_name": "many", "launch": True}
    asked = [asyncio.create_task(user.get_service(query)) for user in (ann, elsewhere) * 5]
    first, *others = await asyncio.gather(*asked)
    assert {each["id"] for each in others} == {first["id"]}
    assert len(await ann.states()) == 1

    busy = [
        asyncio.create_task(user.place(first["rest"]["_rtarget"], first["rest"]["_rmethod"], 6_000))
        for user in (ann, elsewhere) * 2
    ]
    await until_states(ann, "running", "running")
    found = set[str]()
    async with asyncio.timeout(LIMIT):
        while len(found) < 2:
            found.add((await elsewhere.get_service(query))["id"])
    ordered = [await elsewhere.get_service({**query, "mode": mode}) for mode in ("first", "last")]
    assert [each["id"] for each in ordered] == sorted(found)
    idle = await ann.get_service({**query, "mode": "least_busy"})
    assert idle["id"] != first["id"]
    await asyncio.gather(*busy)
    await until_states(ann)


async def test_a_daemon_is_there_unasked_until_it_is_stopped(ann: User) -> None:
    manifest = await install(ann, ADDER, "daemon", daemon=True)
    (client,) = await until_states(ann, "running")

    started = await ann("start", manifest["id"])
    assert started["id"] == client
    assert await ann.ask(started, "add", 2, 3) == 5
    await ann("stop", client)
    await asyncio.sleep(2)
    assert await ann.states() == {}
    again = await ann("start", manifest["id"])
    assert list(await ann.states()) == [again["id"]]


HOGS = {
    "memory": "const kept = []; setInterval(() => {"
    "  if (kept.length < 50) kept.push(new Uint8Array(20_000_000).fill(1)); }, 20);",
    "a processor": "setTimeout(() => { for (;;); }, 500);",
}


@pytest.mark.parametrize("what", HOGS)
async def test_who_uses_too_much_is_stopped_and_has_failed(
    place: Place, ann: User, what: str
) -> None:
    other = await ann.launch(ADDER)
    hog = await ann.launch(f"{HOGS[what]} api.export({{}});", name=f"hog of {what}")

    await ann.until(hog["id"], None)

    (said,) = [text for text in await ann("get_log", hog["id"], "error") if "was stopped" in text]
    assert said.startswith("It was stopped, for it used ")
    assert what in said
    assert f"ann/{hog['id']} ({hog['app_id']}): {said}" in place.runner.log()
    assert await ann.ask(other, "add", 1, 2) == 3


async def test_who_is_there_for_longer_than_it_may_is_stopped_and_has_failed(
    valkey_url: str, redis_prefix: str, redis: Redis, tmp_path: Any
) -> None:
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway()
        cluster.runner(gateway.url, app_run_time=3.0)
        async with await User.connect(gateway.url) as ann:
            app = await ann.launch(ADDER)
            assert await ann.ask(app, "add", 1, 2) == 3

            await ann.until(app["id"], None)

            instance = f"{redis_prefix}:{{:apps}}:instance:ann/{app['id']}"
            assert await redis.hget(instance, "state") == b"failed"
            reason = b"It was stopped, for it was there for 3 s."
            assert await redis.hget(instance, "reason") == reason
            assert reason.decode() in await ann("get_log", app["id"], "error")


async def test_no_call_is_refused_when_a_runner_stops_and_another_one_is_there(
    valkey_url: str, redis_prefix: str, redis: Redis, tmp_path: Any
) -> None:
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway, other = cluster.gateway(), cluster.gateway()
        runner = cluster.runner(gateway.url)
        async with await User.connect(gateway.url) as ann, await User.connect(other.url) as bob:
            app = await ann.launch(f"await new Promise((done) => setTimeout(done, 500)); {SLEEPER}")
            instance = f"{redis_prefix}:{{:apps}}:instance:ann/{app['id']}"
            # The next page is at another gateway, and the one after it is at the same again.
            for number, hub in enumerate((other, other), 2):
                old = await ann.ask(app, "who")
                long = [asyncio.create_task(user.ask(app, "rest", 6_000)) for user in (ann, bob)]
                await asyncio.gather(*(user.ask(app, "who") for user in (ann, bob)))  # it has them
                following = cluster.runner(hub.url)

                runner.send(signal.SIGTERM)
                answers: list[tuple[str, int]] = []
                async with asyncio.timeout(LIMIT):
                    while not answers or answers[-1][0] == old:
                        epoch = int(await redis.hget(instance, "epoch") or 0)
                        answers.append((await bob.ask(app, "who"), epoch))
                        await asyncio.sleep(0.02)

                assert (old, number) in answers  # while the next page was on its way
                assert await asyncio.gather(*long) == [old, old]
                assert runner.wait() == 0
                await ann.until(app["id"], "running")
                assert await ann.ask(app, "who") == answers[-1][0]
                assert "moves to another runner" in runner.log()
                runner = following


async def test_a_page_that_does_not_answer_in_time_is_not_waited_for(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway()
        first = cluster.runner(gateway.url, app_drain_time=4.0)
        async with await User.connect(gateway.url) as ann:
            app = await ann.launch(SLEEPER)
            old = await ann.ask(app, "who")
            long = asyncio.create_task(ann.ask(app, "rest", 600_000))
            assert await ann.ask(app, "who") == old
            second = cluster.runner(gateway.url)

            first.send(signal.SIGTERM)
            with pytest.raises(Rejected, match="left before it answered"):
                await long

            assert first.wait() == 0
            await ann.until(app["id"], "running")
            assert await ann.ask(app, "who") != old
            # Nobody else is there, so nothing is waited for.
            second.send(signal.SIGTERM)
            assert second.wait() == 0
            assert list((await ann.states()).values()) == ["pending"]
