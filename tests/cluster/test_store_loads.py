"""The store restarts and loads its data for some seconds, and clients go meanwhile."""

import asyncio
import time

import pytest

from tests.cluster.cluster import Cluster, Store, until
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient

pytestmark = pytest.mark.cluster

GOING, STAYING = 10, 2  # clients of each gateway
KEPT = 15_000  # keys of others
# So it takes some seconds to load them, and says meanwhile that it does.
SLOWLY = ("--key-load-delay", "200")
PAUSE = 0.1  # seconds between two clients that go
HEALED = 15 * SECOND
WATCHED = 6 * SECOND


async def test_gateways_are_ready_again_though_clients_went_meanwhile(
    cluster: Cluster, report: Report
) -> None:
    """Redis is killed, and started with data that takes some seconds to load. Meanwhile clients
    lose their connections one after the other, just when their gateways are about to read their
    mailboxes. The seconds count from the end of loading; after that, the probes of the gateways are
    asked for 6 s.
    """
    urls = [gateway.url for gateway in cluster.gateways]
    staying = [await RawClient.connect(url) for url in urls * STAYING]
    going = [await RawClient.connect(url) for url in urls * GOING]
    _fill(cluster.store)

    cluster.store.kill()
    loading = asyncio.create_task(asyncio.to_thread(cluster.store.start, *SLOWLY))
    went = await _go_while_it_loads(cluster.store, loading, going)
    took = await until(lambda: _are_ready(cluster), "all gateways are ready", HEALED)
    await until(lambda: _nobody_attached(cluster, went), "it is known who went", HEALED)
    answers = await asyncio.gather(*(client.manager("echo", "here") for client in staying))
    unready = await _times_unready(cluster)

    report.note(
        "the store loads its data for some seconds, and clients go meanwhile",
        clients_that_went=len(went),
        seconds_until_all_gateways_were_ready=took,
        times_that_one_was_unready_or_dead_afterwards=unready,
    )
    assert went
    assert answers == ["here"] * len(staying)
    assert not unready
    await asyncio.gather(*(client.close() for client in (*staying, *going)))


def _fill(store: Store) -> None:
    with store.client() as redis, redis.pipeline(transaction=False) as pipeline:
        for number in range(KEPT):
            pipeline.set(f"of-others:{number}", "something")
        pipeline.execute()


async def _go_while_it_loads(
    store: Store, loading: asyncio.Task[Store], going: list[RawClient]
) -> list[RawClient]:
    """Break off one after the other; return, when it has loaded, who went before that."""
    await until(lambda: asyncio.to_thread(store.is_loading), "the store loads")
    went = []
    for client in going:
        if loading.done():
            break
        client.break_off()
        went.append(client)
        await asyncio.wait([loading], timeout=PAUSE)
    await loading
    return went


async def _are_ready(cluster: Cluster) -> bool:
    ready = [asyncio.to_thread(lambda each: each.is_ready, each) for each in cluster.gateways]
    return all(await asyncio.gather(*ready))


async def _nobody_attached(cluster: Cluster, clients: list[RawClient]) -> bool:
    states = [cluster.state_of(client.address) for client in clients]
    return "online" not in states


async def _times_unready(cluster: Cluster) -> int:
    """Ask for a while, and count how often a gateway did not want clients, or was given up."""
    deadline, unready = time.monotonic() + WATCHED, 0
    while time.monotonic() < deadline:
        for gateway in cluster.gateways:
            is_alive = await asyncio.to_thread(lambda each: each.is_alive, gateway)
            unready += not (
                is_alive and await asyncio.to_thread(lambda each: each.is_ready, gateway)
            )
        await asyncio.sleep(0.2)
    return unready
