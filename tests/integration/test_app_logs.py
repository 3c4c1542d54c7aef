"""Logs of instances as they are followed: on any gateway, as they come, and after the end.

No browser runs here; what a runner writes is written by the tests.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest

from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher import following
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instance import Wanted
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import SEALS
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.in_process import served
from tests.raw_client import RawClient, Rejected
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", is_anonymous=False, email="ann@example.org")
BOB = Identity("bob", is_anonymous=False, email="bob@example.org")
ADMIN = Identity("op", is_anonymous=False, email="op@example.org", roles=("admin",))
LIMIT = 20 * SECOND
SERVICE = "/public/services/server-apps"


class Place(NamedTuple):
    """Two gateways, and an instance of ann's whose log the test writes."""

    first: str
    second: str
    logs: InstanceLogs
    instances: Instances
    address: str

    async def log(self, *texts: str, kind: str = "log") -> None:
        await self.logs.write(self.address, kind, texts)

    async def stop(self) -> None:
        await self.instances.end(self.address)


@pytest.fixture
async def place(
    valkey_url: str, redis_prefix: str, redis_client: RedisClient
) -> AsyncIterator[Place]:
    config = Config(port=0, jwt_secret=SECRET, redis_url=valkey_url, redis_prefix=redis_prefix)
    settings = LauncherSettings(enable_server_apps=True)
    features = [
        (kind, settings if kind.Settings is LauncherSettings else kind.Settings())
        for kind in BUILT_IN
    ]
    keys = Keys(redis_prefix)
    instances, logs = Instances(redis_client, keys), InstanceLogs(redis_client, keys)
    pages = InstancePages(redis_client, keys, SEALS, instances)
    async with (
        served(config, features) as (first, _),
        served(config, features) as (second, _),
        await RawClient.connect(first, token=token_of(ANN), workspace="ann"),
    ):
        wanted = Wanted("ann", "app-1", "adder", "Adder", ANN, "default", 60.0)
        address, _ = await pages.ask(wanted, shared=False)
        yield Place(first, second, logs, instances, address)


class Stream:
    """The lines of an answer, one after the other."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT):
            line: dict[str, Any] = json.loads(await anext(self._lines))
        return line

    async def texts(self, many: int) -> list[str]:
        """So many entries, without what is said of the state."""
        found: list[str] = []
        while len(found) < many:
            item = await self.next()
            found += [item["text"]] if item["type"] != "state" else []
        return found

    async def rest(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(LIMIT):
            return [json.loads(line) async for line in self._lines]


@asynccontextmanager
async def follow(
    url: str, who: Identity | None = ANN, after: str = "", client: str = "app-1"
) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {token_of(who)}"} if who else {}
    asked = {"client_id": client, "workspace": "ann", "after": after}
    async with httpx2.AsyncClient(trust_env=False, timeout=LIMIT) as browser:
        request = browser.stream("POST", f"{url}{SERVICE}/follow", json=asked, headers=headers)
        async with request as response:
            yield Stream(response)


async def test_a_log_is_followed_on_any_gateway_to_the_end(place: Place) -> None:
    await place.log("before")
    async with follow(place.second) as stream:
        first, state = await stream.next(), await stream.next()
        await place.log("meanwhile")
        await place.log("an error", kind="error")
        assert {*await stream.texts(2)} == {"meanwhile", "an error"}  # perhaps in the same ms
        await place.log("at the end")
        await place.stop()
        rest = await stream.rest()

    assert (first["type"], first["text"]) == ("log", "before")
    assert (state["type"], state["text"]) == ("state", "pending")
    assert [item["text"] for item in rest] == ["at the end", "stopped"]


async def test_a_log_is_readable_after_the_end(place: Place) -> None:
    await place.log("said")
    await place.stop()

    async with follow(place.first) as stream:
        items = await stream.rest()

    assert [item["text"] for item in items] == ["said", "stopped"]


async def test_whoever_is_cut_off_goes_on_where_they_were(place: Place) -> None:
    await place.log("one", "two")
    async with follow(place.first) as stream:
        seen = [await stream.next() for _ in range(2)]
    await place.log("three", kind="warning")
    await place.log("four")
    await place.stop()

    async with follow(place.second, after=seen[-1]["cursor"]) as stream:
        items = await stream.rest()

    assert [item["text"] for item in seen] == ["one", "two"]
    assert {item["text"] for item in items} == {"three", "four", "stopped"}


async def test_what_is_logged_is_told_and_not_asked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_LOOKING", 3600.0)
    async with follow(place.second) as stream:
        await stream.next()

        await place.log("told")

        assert await stream.texts(1) == ["told"]


async def test_what_was_not_told_is_seen_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: object) -> None:
        """Hear nothing."""

    monkeypatch.setattr("hypha_cluster.links.subscriptions.Subscriptions.join", deaf)
    monkeypatch.setattr(following, "_LOOKING", 0.2)
    async with follow(place.second) as stream:
        await place.log("seen")

        assert await stream.texts(1) == ["seen"]


async def test_it_is_events_for_who_asks_for_events(place: Place) -> None:
    await place.log("said")
    await place.stop()
    headers = {"Authorization": f"Bearer {token_of(ANN)}", "Accept": "text/event-stream"}
    asked = {"client_id": "app-1", "workspace": "ann"}

    async with httpx2.AsyncClient(trust_env=False, timeout=LIMIT) as browser:
        answer = await browser.post(f"{place.first}{SERVICE}/follow", json=asked, headers=headers)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("data: {")


@pytest.mark.parametrize("who", [BOB, None])
async def test_others_follow_nothing(place: Place, who: Identity | None) -> None:
    async with follow(place.first, who) as stream:
        assert stream.status == 403


async def test_bad_questions_are_told_what_is_wrong(place: Place) -> None:
    async with follow(place.first, client="nobody") as stream:
        assert stream.status == 404
    for cursor in ("x", "1-1", "1-1,,,,,", "9" * 99 + "-1,,,,"):
        async with follow(place.first, after=cursor) as stream:
            assert stream.status == 400, cursor


async def test_there_are_only_so_many_who_follow(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "APP_FOLLOWERS", 1)
    async with follow(place.first) as one:
        await one.next()
        async with follow(place.first) as another:
            assert another.status == 503
    async with asyncio.timeout(LIMIT):
        while True:  # the first has to be seen to have gone
            async with follow(place.first) as later:
                if later.status == 200:
                    break


async def test_who_follows_much_leaves_room_for_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "APP_FOLLOWERS", 10)
    async with follow(place.first) as one:
        await one.next()
        async with follow(place.first) as another:
            assert another.status == 503
        async with follow(place.first, ADMIN) as somebody:
            assert somebody.status == 200


async def test_a_gateway_that_stops_lets_go_of_who_follows(
    place: Place, gateway_factory: GatewayFactory
) -> None:
    gateway = gateway_factory(enable_server_apps=True, app_runners="elsewhere", jwt_secret=SECRET)
    async with follow(gateway.url) as stream:
        await stream.next()

        gateway.send_signal(signal.SIGTERM)

        assert await stream.rest() == []


async def test_programs_follow_it_by_asking_again(place: Place) -> None:
    await place.log("one")
    async with await RawClient.connect(place.second, token=token_of(ANN), workspace="ann") as ann:
        manager, logs = "public/workspace-manager", "services.server-apps.logs"
        first = await ann.call(manager, logs, "app-1", after="")
        asking = asyncio.create_task(
            ann.call(manager, logs, "app-1", after=first["cursor"], wait=20)
        )
        await place.log("two")
        second = await asking
        nothing = await ann.call(manager, logs, "app-1", after=second["cursor"])
        with pytest.raises(Rejected, match="A stream is for HTTP"):
            await ann.call(manager, "services.server-apps.follow", "app-1")

    assert [item["text"] for item in first["items"]] == ["one"]
    assert [item["text"] for item in second["items"]] == ["two"]
    assert nothing == {"items": [], "cursor": second["cursor"]}
