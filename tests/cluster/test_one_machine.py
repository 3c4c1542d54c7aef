"""A hub on one machine is renewed while everybody goes on calling everybody."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import until
from tests.cluster.history import History
from tests.cluster.load import OLD, Load, now
from tests.cluster.ordeal import listed
from tests.cluster.report import Report
from tests.gateways import Gateway, Value
from tests.socket_holder import HeldGateway

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

SENT_BY_AN_OLD_ONE = (
    "Exception: Failed to send the request when calling method … error: "
    "unpack(b) received extra data."
)
# Calls that newer releases place in the moment in which their connections end.
AT_THE_END = 2
DRAIN: dict[str, Value] = {"drain_delay": 0.5, "drain_time": 5.0}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldGateway]:
    gateway = HeldGateway(tmp_path / "hub.log", data_dir=str(tmp_path / "data"), **DRAIN)
    with gateway:
        yield gateway
    gateway.close()


@pytest.mark.timeout(300)
async def test_sighup_replaces_workers_and_fails_no_call(
    chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, a hub with two workers gets SIGHUP. Clients connect to its one port, without a
    balancer.
    """
    with Gateway(tmp_path / "hub.log", workers=2, **DRAIN) as hub:

        async def renew() -> None:
            hub.send_signal(signal.SIGHUP)
            await until(lambda: _is_replaced(hub), "all workers are replaced", seconds=120)

        load = Load(hub.url, tmp_path, chromium)
        history = await _undergo(load, renew, report, "`kill -HUP` of a hub with `--workers 2`")

    assert not history.failures(), history.errors()
    history.check()


async def _is_replaced(hub: Gateway) -> bool:
    return "All gateways have been replaced." in hub.log()


@pytest.mark.timeout(300)
async def test_a_restart_behind_a_held_socket_fails_no_call(
    held: HeldGateway, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, a hub is stopped by SIGTERM and started again, as by `systemctl restart`. Another
    program holds its socket, as systemd does. There is no balancer; clients wait at the socket.
    """

    async def restart() -> None:
        assert await asyncio.to_thread(held.restart) == 0

    load = Load(held.url, tmp_path, chromium)
    what = "restart of a hub of one gateway, whose socket systemd holds"
    history = await _undergo(load, restart, report, what)

    old = load.programs_of(OLD)
    failed = [(call, outcome) for call, outcome in history.failures() if call[0] not in old]
    assert len(failed) <= AT_THE_END, failed
    # While nobody answers, 0.5.16 opens a connection for each call, and each ends the one before:
    # it may send by one that has just ended, and what it sends is in an order of its own.
    assert set(history.errors()) <= {SENT_BY_AN_OLD_ONE}
    history.check(old, between=(min(history.begun.values()), now()))


async def _undergo(
    load: Load, event: Callable[[], Awaitable[None]], report: Report, what: str
) -> History:
    async with load:
        await load.run(6)
        began = now()
        await event()
        took = now() - began
        await load.run(6)
        at_the_end = now()
        await load.run(2)
    history = load.history
    report.note(
        what,
        calls=len(history.begun),
        calls_failed=len(history.failures()),
        errors=listed(history),
        clients_lost=len(load.lost(since=at_the_end)),
        longest_call_in_seconds=history.longest_wait(),
        seconds_until_it_was_done=took,
    )
    assert not load.lost(since=at_the_end)
    assert not history.caught
    return history
