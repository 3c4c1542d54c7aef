"""Whoever calls a client that is not there is told why at once."""

import asyncio
import time

import pytest

from tests.cluster.cluster import Cluster, until
from tests.cluster.conftest import StartCluster
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import NO_ANSWER, RawClient, Rejected, call_envelope, promise_of

pytestmark = pytest.mark.cluster

PING = "services.built-in.ping"
NEVER = "services.mirror.never"  # a function that has no end
PROMPTLY = 1 * SECOND
GRACE = 3  # seconds
MAILBOX = 5  # frames


@pytest.fixture
def short_grace(start_cluster: StartCluster) -> Cluster:
    return start_cluster(reconnect_grace=GRACE, mailbox_frames=MAILBOX)


async def test_every_absence_has_an_error_of_its_own(short_grace: Cluster, report: Report) -> None:
    """A client of one gateway calls clients of other gateways: one of them leaves, one loses its
    connection, and the gateway of one is killed. A suspended client keeps its place for 3 s, and
    its mailbox holds 5 frames.
    """
    async with await RawClient.connect(short_grace.gateways[0].url) as caller:
        await _call_one_that_leaves(short_grace, caller, report)
        await _call_one_suspended(short_grace, caller, report)
        await _call_one_whose_gateway_died(short_grace, caller, report)


async def _call_one_that_leaves(cluster: Cluster, caller: RawClient, report: Report) -> None:
    callee = await RawClient.connect(cluster.gateways[1].url)
    await callee.offer("mirror", "public", never=lambda *_: NO_ANSWER)
    pending = asyncio.create_task(_error_of(caller, callee, NEVER))
    await callee.until(lambda frame: frame.method == NEVER)
    await callee.close()
    text, took = await pending
    assert "left before it answered" in text
    assert took < PROMPTLY
    report.note("the callee leaves", seconds_until_a_pending_call_fails=took)

    text, took = await _error_of(caller, callee, PING)
    assert "not found" in text
    assert took < PROMPTLY
    report.note("the callee has left", seconds_until_a_call_fails=took)


async def _call_one_suspended(cluster: Cluster, caller: RawClient, report: Report) -> None:
    callee = await RawClient.connect(cluster.gateways[1].url)
    callee.break_off()
    await callee.closed()
    await _until_state(cluster, callee, "suspended")
    waiting = [asyncio.create_task(_error_of(caller, callee, PING)) for _ in range(MAILBOX)]
    await asyncio.sleep(0)
    text, took = await _error_of(caller, callee, PING)
    assert "suspended" in text
    assert took < PROMPTLY
    for text, ended_after in await asyncio.gather(*waiting):
        assert "left before it answered" in text
        assert ended_after < (GRACE + 3) * SECOND
    what = f"the callee is suspended, for {GRACE} s at most"
    report.note(what, seconds_until_a_call_fails_that_found_no_room=took)


async def _call_one_whose_gateway_died(cluster: Cluster, caller: RawClient, report: Report) -> None:
    gateway = cluster.gateways[2]
    callee = await RawClient.connect(gateway.url)
    gateway.kill()
    await callee.closed()
    text, took = await _error_of(caller, callee, PING)
    assert "left before it answered" in text
    # The gateway's lease runs out, then the client's own grace.
    assert took < (5 + GRACE + 3) * SECOND
    report.note("the callee's gateway is killed", seconds_until_a_call_fails=took)


async def test_pending_calls_end_wherever_caller_and_callee_are(cluster: Cluster) -> None:
    urls = [gateway.url for gateway in cluster.gateways]
    callers = [await RawClient.connect(url) for url in urls]
    for url in urls:
        callee = await RawClient.connect(url)
        await callee.offer("mirror", "public", never=lambda *_: NO_ANSWER)
        pending = [asyncio.create_task(_error_of(caller, callee, NEVER)) for caller in callers]
        for caller in callers:
            source = caller.address
            await callee.until(lambda frame, source=source: frame.source == source)  # type: ignore[misc]
        await callee.close()
        for text, _ in await asyncio.gather(*pending):
            assert "left before it answered" in text
    await asyncio.gather(*(caller.close() for caller in callers))


@pytest.mark.parametrize("leaves_meanwhile", [False, True])
async def test_a_caller_that_has_moved_is_told_too(
    cluster: Cluster, leaves_meanwhile: bool
) -> None:
    first, second, third = cluster.gateways
    callee = await RawClient.connect(first.url)
    await callee.offer("mirror", "public", never=lambda *_: NO_ANSWER)
    caller = await RawClient.connect(second.url)
    session = caller.new_session()
    promise = promise_of(caller.client_id, session)
    call = call_envelope(callee.address, NEVER, session=session)
    await caller.send(call, {"args": [], "promise": promise})
    await callee.until(lambda frame: frame.method == NEVER)
    caller.break_off()
    await caller.closed()
    await _until_state(cluster, caller, "suspended")
    if leaves_meanwhile:
        await callee.close()
        await _until_state(cluster, callee, "")

    token = caller.info["reconnection_token"]
    async with await RawClient.connect(
        third.url, caller.client_id, reconnection_token=token
    ) as again:
        if not leaves_meanwhile:
            await callee.close()
        rejection = await again.until(lambda frame: frame.method == f"{session}.reject")
        assert "left" in str(rejection.args) or "not found" in str(rejection.args)


async def _error_of(caller: RawClient, callee: RawClient, method: str) -> tuple[str, float]:
    """How a call ended, and after how many seconds."""
    started = time.monotonic()
    with pytest.raises(Rejected) as rejected:
        await caller.call(callee.address, method, "anybody there?")
    return str(rejected.value), time.monotonic() - started


async def _until_state(cluster: Cluster, client: RawClient, state: str) -> None:
    async def reached() -> bool:
        return cluster.state_of(client.address) == state

    await until(reached, f"{client.address} is {state or 'gone'}")
