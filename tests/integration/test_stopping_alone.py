"""A gateway that nobody takes over from: it finishes what is under way, and goes."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.python_client import Local, PythonClient
from tests.raw_client import RawClient, call_envelope

# With these, a gateway that sends its clients to others takes more than a minute.
UNHURRIED = {"drain_delay": 20.0, "drain_time": 120.0}
SOON = 25 * SECOND
BROKEN = "Connection is broken"


async def stop(gateway: Gateway) -> float:
    """Tell a gateway to stop; return the seconds that it took."""
    began = time.monotonic()
    assert await asyncio.to_thread(gateway.terminate) == 0
    return time.monotonic() - began


def workers_of(gateway: Gateway) -> list[int]:
    """Return the processes that serve, of a gateway that has several."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    names = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    workers = (b"hypha-cluster: gateway ", b"serving.worker")
    return [pid for pid, name in names.items() if any(each in name for each in workers)]


@pytest.mark.clients
@pytest.mark.parametrize("release", ["0.5.44", "0.5.59"])
async def test_the_only_gateway_does_not_send_its_clients_to_itself(
    gateway_factory: GatewayFactory, release: str
) -> None:
    gateway = gateway_factory(**UNHURRIED)
    with PythonClient(release) as client:
        await client.connect(gateway.url)

        assert await stop(gateway) < SOON

        assert "is back" not in gateway.log()
        assert client.log().count(BROKEN) <= 1


async def test_gateways_that_all_stop_do_not_send_their_clients_to_each_other(
    gateway_factory: GatewayFactory,
) -> None:
    gateways = [gateway_factory(**{**UNHURRIED, "drain_delay": 0.1}) for _ in range(3)]
    clients = [await RawClient.connect(gateway.url) for gateway in gateways]

    times = await asyncio.gather(*map(stop, gateways))

    assert max(times) < SOON
    assert [await client.closed() for client in clients] == [1012] * 3


async def test_a_call_that_is_under_way_gets_its_answer(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(**UNHURRIED)
    provider = await RawClient.connect(gateway.url)
    token = await provider.manager("generate_token")
    caller = await RawClient.connect(gateway.url, workspace=provider.workspace, token=token)
    call = asyncio.create_task(caller.call(provider.address, "services.worker.work"))
    work = await provider.until(lambda frame: frame.method == "services.worker.work")

    stopping = asyncio.create_task(stop(gateway))
    while "Draining" not in gateway.log():  # noqa: ASYNC110  (only its log tells)
        await asyncio.sleep(0.02)
    resolve = work.body["promise"]["resolve"]
    await provider.send(call_envelope(caller.address, resolve["_rmethod"]), {"args": ["done"]})

    assert await call == "done"
    assert await stopping < SOON


@pytest.mark.clients
async def test_behind_a_held_port_clients_come_back_to_the_successor_and_no_call_fails(
    gateway_factory: GatewayFactory,
) -> None:
    """The parent of several workers holds their port, as systemd does for one gateway."""
    gateway = gateway_factory(workers=2, **{**UNHURRIED, "drain_delay": 0.5})
    while gateway.log().count(" is up.") < 2:  # noqa: ASYNC110  (only its log tells)
        await asyncio.sleep(0.02)
    with PythonClient("0.5.44") as old, PythonClient("0.5.59") as new:
        provider = await new.connect(gateway.url)
        await provider["register_service"]({"id": "mirror", "echo": Local("echo")})
        caller = await old.connect(
            gateway.url,
            workspace=provider.workspace,
            token=await provider["generate_token"](),
        )
        mirror = await caller["get_service"]("mirror")
        answers: list[int] = []
        is_enough = asyncio.Event()

        async def call_on() -> None:
            while not is_enough.is_set():
                number = len(answers)
                answers.append(await mirror["echo"](number))

        calling = asyncio.create_task(call_on())
        serving = workers_of(gateway)
        assert len(serving) == 2
        for pid in serving:
            os.kill(pid, signal.SIGTERM)

        async with asyncio.timeout(60 * SECOND):
            while new.log().count(BROKEN) + old.log().count(BROKEN) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        count = len(answers)
        async with asyncio.timeout(60 * SECOND):
            while len(answers) < count + 20 and not calling.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        is_enough.set()
        await calling

        assert answers == list(range(len(answers)))
