"""The store forgets, breaks connections, or is away for a while; clients stay where they are."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.cluster.cluster import Cluster, Store, until
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient, Rejected

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = pytest.mark.cluster
pytest_plugins = ["tests.browser"]

HEALED = 15 * SECOND
PROVIDERS = 6


class Scene(NamedTuple):
    """A caller, and providers on all gateways, of which it knows the full ids."""

    caller: RawClient
    providers: list[RawClient]
    services: set[str]

    async def works(self) -> bool:
        """Whether everybody is listed and answers."""
        try:
            async with asyncio.timeout(2 * SECOND):
                listed = await self.caller.manager("list_services", "public")
                answers = await asyncio.gather(*map(self._echo, self.providers))
        except (Rejected, TimeoutError):
            return False
        listing = {service["id"] for service in listed}
        return listing >= self.services and answers == ["here"] * len(answers)

    async def _echo(self, provider: RawClient) -> str:
        echo = self.caller.call(provider.address, "services.mirror.echo", "here")
        answer: str = await echo
        return answer


def forgets(store: Store) -> None:
    with store.client() as redis:
        redis.flushall()


def cuts_subscribers(store: Store) -> None:
    with store.client() as redis:
        redis.client_kill_filter(_type="pubsub")


def restarts_with_its_data(store: Store) -> None:
    store.kill()
    time.sleep(2)
    store.start()


def restarts_without_its_data(store: Store) -> None:
    store.kill()
    store.lose_data()
    time.sleep(2)
    store.start()


@contextmanager
def _timed(report: Report, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    report.note(f"the store {what}", seconds_until_all_works=time.monotonic() - started)


EVENTS = (forgets, cuts_subscribers, restarts_with_its_data, restarts_without_its_data)


@pytest.mark.parametrize("event", EVENTS)
async def test_the_cluster_heals_by_itself_when_the_store(
    event: Callable[[Store], None], cluster: Cluster, report: Report
) -> None:
    """Redis forgets everything (FLUSHALL), cuts the connections of subscribers, or is killed and
    started 2 s later, with or without its data. Everything works again when six providers on three
    gateways are listed and answer.
    """
    urls = [gateway.url for gateway in cluster.gateways]
    caller = await RawClient.connect(urls[0])
    providers = [await RawClient.connect(urls[n % len(urls)]) for n in range(PROVIDERS)]
    offers = [
        provider.offer("mirror", "public", echo=lambda value: value) for provider in providers
    ]
    scene = Scene(caller, providers, set(await asyncio.gather(*offers)))
    assert await scene.works()

    await asyncio.to_thread(event, cluster.store)
    with _timed(report, event.__name__.replace("_", " ")):
        await until(scene.works, "everybody is listed and answers", HEALED)

    # Nobody was disconnected, and newcomers are as welcome as before.
    async with await RawClient.connect(cluster.url) as newcomer:
        await newcomer.call(providers[0].address, "services.mirror.echo", "new")
    await asyncio.gather(*(client.close() for client in (caller, *providers)))


@pytest.mark.clients
@pytest.mark.browser
@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("event", EVENTS)
async def test_clients_go_on_when_the_store(
    event: Callable[[Store], None],
    cluster: Cluster,
    chromium: "Chromium",
    tmp_path: Path,
    report: Report,
) -> None:
    """The same as above, under load."""

    async def strike() -> float:
        began = now()
        await asyncio.to_thread(event, cluster.store)
        return began

    ordeal = await undergo(Load(cluster.url, tmp_path, chromium), strike)

    report.note(f"the store {event.__name__.replace('_', ' ')}, under load", **ordeal.figures())
    ordeal.check(HEALED)


async def test_calls_between_gateways_fail_promptly_while_the_store_is_away(
    cluster: Cluster, report: Report
) -> None:
    """Redis is killed. Calls between clients of one gateway go on, calls to others fail."""
    first, second = cluster.gateways[:2]
    caller = await RawClient.connect(first.url)
    here = await RawClient.connect(first.url)
    there = await RawClient.connect(second.url)

    cluster.store.kill()
    assert await caller.call(here.address, "services.built-in.ping", "ping") == "pong"
    started = time.monotonic()
    with pytest.raises(Rejected, match="unavailable"):
        await caller.call(there.address, "services.built-in.ping", "ping")
    took = time.monotonic() - started
    report.note("the store is away", seconds_until_a_call_elsewhere_fails=took)
    assert took < 8 * SECOND

    cluster.store.start()

    async def is_well() -> bool:
        try:
            answer = await caller.call(there.address, "services.built-in.ping", "ping")
        except Rejected:
            return False
        return bool(answer == "pong")

    await until(is_well, "calls go through again", HEALED)
    await asyncio.gather(*(client.close() for client in (caller, here, there)))
