"""What is under way in the registry is interrupted, by a crash or a lost reply: nothing stays."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from redis.asyncio import Redis
from websockets.exceptions import WebSocketException

from hypha_cluster.registry.keys import Keys
from tests.cluster.cluster import PREFIX, Cluster, Member, until
from tests.cluster.conftest import StartCluster
from tests.cluster.lost_replies import LostReplies
from tests.cluster.report import Report
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.raw_client import RawClient, Rejected, call_envelope
from tests.redis_servers import plain_server

pytestmark = pytest.mark.cluster

COMING = 250  # clients that connect while their gateway is killed
SHARE = 0.1  # of replies of Redis that get lost
TURNS = pytest.mark.parametrize(
    "turns",
    [
        pytest.param(2, marks=pytest.mark.brief),
        pytest.param(6, marks=[pytest.mark.chaos, pytest.mark.timeout(600)]),
    ],
)


@TURNS
async def test_a_crash_while_clients_connect_leaves_no_ghost(
    turns: int, start_cluster: StartCluster, report: Report
) -> None:
    """A gateway is killed again and again while 250 clients connect to it. Of those that it had
    begun to write into Redis, none may look attached 15 s later, and a call to any of them is
    answered.
    """
    cluster = start_cluster()
    victim = cluster.gateways[1]
    began, ghosts, called = 0, 0, 0
    async with await RawClient.connect(cluster.gateways[0].url) as caller:
        for _ in range(turns):
            await _crash_while_clients_connect(victim)
            known = _attached(cluster, 1)
            began += len(known)

            async def are_none() -> bool:
                return not _attached(cluster, 1)

            with contextlib.suppress(AssertionError):
                await until(are_none, "nobody looks attached to the gateway", 15)
            ghosts += len(_attached(cluster, 1))
            for address in random.sample(sorted(known), min(5, len(known))):
                await _check_answered(caller, address)
                called += 1
            await cluster.restart(victim)

    report.note(
        "`kill -9` of a gateway while clients connect",
        times_that_it_was_killed=turns,
        clients_that_it_had_or_was_about_to_have=began,
        of_them_attached_for_ever=ghosts,
        calls_to_them_that_were_answered=called,
    )
    assert began
    assert not ghosts


async def _crash_while_clients_connect(victim: Member) -> None:
    async def come(number: int) -> None:
        with contextlib.suppress(OSError, WebSocketException, TimeoutError, asyncio.CancelledError):
            client = await RawClient.connect(victim.url, f"coming-{number}")
            await client.closed()

    coming = [asyncio.create_task(come(number)) for number in range(COMING)]
    await asyncio.sleep(0.15 + 0.4 * random.random())
    victim.kill()
    async with asyncio.timeout(60 * SECOND):
        await asyncio.gather(*coming)


def _attached(cluster: Cluster, number: int) -> set[str]:
    """Addresses of clients that look attached to a gateway."""
    found = set()
    with cluster.store.client() as redis:
        keys = [key.decode() for key in redis.scan_iter(f"{PREFIX}:{{*}}/*", count=1000)]
        for key in keys:
            if ":" in key.partition("}")[2]:
                continue
            node, state = redis.hmget(key, "node", "state")
            if (node, state) == (f"gateway-{number}".encode(), b"online"):
                workspace, _, client = key.removeprefix(f"{PREFIX}:{{").partition("}/")
                found.add(f"{workspace}/{client}")
    return found


async def _check_answered(caller: RawClient, address: str) -> None:
    envelope = call_envelope(address, "services.built-in.ping")
    with pytest.raises(Rejected, match="is away|has left|left before|not found|not connected"):
        await caller.place(envelope, {"args": ["ping"]}, 20 * SECOND)


@TURNS
async def test_lost_replies_leave_nothing(
    turns: int,
    gateway_factory: GatewayFactory,
    redis_prefix: str,
    tmp_path: Path,
    report: Report,
) -> None:
    """A proxy between a gateway and Redis breaks the connection instead of passing some replies on,
    so the gateway sends the same script again. Meanwhile clients connect, register public and
    protected services, and leave. The keys that Redis still has of them at the end are counted.
    """
    keys = Keys(redis_prefix)
    with plain_server(tmp_path / "redis") as server:
        async with LostReplies(server.port, SHARE) as way, Redis.from_url(server.url) as redis:
            start = asyncio.to_thread(gateway_factory, redis_url=way.url, reconnect_grace=3)
            gateway = await start
            way.is_on = True
            for turn in range(turns):
                await asyncio.gather(*(_live(gateway.url, turn * 40 + n) for n in range(40)))
            way.is_on = False

            left = await _left(redis, keys)
            lost = way.lost
            await asyncio.to_thread(gateway.interrupt)

    report.note(
        f"{SHARE:.0%} of the replies of Redis are lost while clients register and leave",
        clients=turns * 40,
        replies_lost=lost,
        keys_left=len(left),
    )
    assert lost
    assert not left


async def _left(redis: Redis, keys: Keys) -> set[str]:
    """What Redis still has of clients when there was time for it to go."""
    kept = (keys.leases(), keys.secret(), keys.revoked(), keys.first_invitation())
    of_the_cluster = (*kept, keys.node(""), keys.invitation(""))
    left: set[str] = set()

    async def are_gone() -> bool:
        found = [key.decode() async for key in redis.scan_iter(keys.everything())]
        left.clear()
        left.update(key for key in found if not key.startswith(of_the_cluster))
        left.difference_update([key for key in left if key.endswith(":left")])
        return not left

    with contextlib.suppress(AssertionError):
        await until(are_gone, "nothing is left of clients that are gone", 30)
    return left


async def _live(url: str, number: int) -> None:
    """Come, offer something to all, then to few, and go; when the hub says so, once more."""
    with contextlib.suppress(OSError, WebSocketException, TimeoutError):
        async with await RawClient.connect(url, f"client-{number}") as client:
            for visibility in ("public", "protected", "public"):
                with contextlib.suppress(Rejected):
                    await client.offer(f"service-{number}", visibility)
