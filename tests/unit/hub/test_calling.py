"""The hub places calls: each ends in its answer, or in the reason why there is none."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hypha_cluster.errors import (
    CallTimeout,
    ClientAway,
    ClientLeft,
    ClientNotFound,
    HubError,
    Overloaded,
    RemoteError,
)
from hypha_cluster.hub import calling
from hypha_cluster.hub.calls import Behalf
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Frame, FrameReader
from hypha_cluster.protocol.limits import SINGLE_FRAME
from tests.unit.hub.peers import NODE, FakeClient, FakeHub

METHOD = "services.s.f"
LIMIT = 5.0


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    made = FakeHub()
    yield made
    await made.client.stop()


@pytest.fixture
def callee(hub: FakeHub) -> FakeClient:
    return hub.connect("home/c")


async def test_a_call_has_the_answer_of_its_callee(hub: FakeHub, callee: FakeClient) -> None:
    callee.on_call = lambda call: callee.resolve(call, call.body["args"])

    assert await hub.calls.call("home/c", METHOD, [1], {"a": 2}) == [1, {"a": 2}]

    call = callee.received[0]
    assert call.envelope["from"] == f"home/~{NODE}"
    assert call.envelope["user"]["id"] == ROOT.id
    assert call.body["with_kwargs"]
    assert "heartbeat" not in call.body["promise"]
    assert hub.calls.waiting_for("home/c") == 0


async def test_a_call_may_be_somebody_elses(hub: FakeHub, callee: FakeClient) -> None:
    callee.on_call = callee.resolve

    await hub.calls.call("home/c", METHOD, [], behalf=Behalf(Identity("ann"), "public"))

    assert callee.received[0].envelope["from"] == f"public/~{NODE}"
    assert callee.received[0].envelope["user"]["id"] == "ann"


def reject(callee: FakeClient, call: Frame, error: dict[str, Any], user: str = "") -> None:
    reference = call.body["promise"]["reject"]
    more = {"user": {"id": user}} if user else {}
    callee.say(reference["_rtarget"], reference["_rmethod"], {"args": [error]}, **more)


async def test_a_function_that_fails_says_why(hub: FakeHub, callee: FakeClient) -> None:
    callee.on_call = lambda call: reject(callee, call, rpc.error("it fails"))

    with pytest.raises(RemoteError, match="it fails"):
        await hub.calls.call("home/c", METHOD, [])


@pytest.mark.parametrize(
    ("kind", "user", "expected"),
    [
        ("ClientAway", "root", ClientAway),
        ("ClientLeft", "root", ClientLeft),
        ("StartupError", "root", RemoteError),
        ("", "root", RemoteError),
        ("ClientAway", "ann", RemoteError),
    ],
)
async def test_a_reject_of_the_hubs_own_keeps_its_kind(
    hub: FakeHub, callee: FakeClient, kind: str, user: str, expected: type[HubError]
) -> None:
    callee.on_call = lambda call: reject(callee, call, rpc.error("no", kind), user)

    with pytest.raises(expected) as failed:
        await hub.calls.call("home/c", METHOD, [])

    assert type(failed.value) is expected


async def test_nobody_else_gives_the_answer(hub: FakeHub, callee: FakeClient) -> None:
    other = hub.connect("home/other")

    def answer_both(call: Frame) -> None:
        other.resolve(call, "of another")
        callee.resolve(call, "of its callee")

    callee.on_call = answer_both

    assert await hub.calls.call("home/c", METHOD, []) == "of its callee"


async def test_a_call_of_nobody_fails_at_once(hub: FakeHub) -> None:
    with pytest.raises(ClientNotFound):
        await hub.calls.call("home/nobody", METHOD, [])


async def test_a_call_fails_when_its_target_leaves(hub: FakeHub, callee: FakeClient) -> None:
    calls = [asyncio.create_task(hub.calls.call("home/c", METHOD, [])) for _ in range(3)]
    callee.on_call = lambda call: None
    await asyncio.wait(calls, timeout=0.02)
    waiting = hub.calls.waiting_for("home/c")

    hub.client.target_left("home/c", ClientLeft("it left"))

    results = await asyncio.gather(*calls, return_exceptions=True)
    assert waiting == 3
    assert all(isinstance(result, ClientLeft) for result in results)
    assert hub.calls.waiting_for("home/c") == 0


async def test_a_callee_that_says_nothing_is_given_up() -> None:
    hub = FakeHub(call_timeout=0.05)
    hub.connect("home/c")

    with pytest.raises(CallTimeout, match="home/c did not answer services.s.f in time"):
        await hub.calls.call("home/c", METHOD, [], patient=True)


async def test_a_callee_that_is_at_work_is_waited_for() -> None:
    hub = FakeHub(call_timeout=1.0)
    callee = hub.connect("home/c")

    async def work(call: Frame) -> None:
        for _ in range(6):
            await callee.begin(call.body["promise"]["heartbeat"])
            await asyncio.sleep(0.2)
        callee.resolve(call, "done")

    tasks: list[asyncio.Task[None]] = []
    callee.on_call = lambda call: tasks.append(asyncio.create_task(work(call)))

    assert await hub.calls.call("home/c", METHOD, [], patient=True) == "done"


async def test_much_goes_in_chunks(hub: FakeHub, callee: FakeClient) -> None:
    """Each of which waits for the answer to the one before."""
    actions: list[str] = []
    parts: list[bytes] = []

    def take(call: Frame) -> None:
        action = call.envelope["method"].rpartition(".")[2]
        actions.append(action)
        if action == "append":
            parts.append(call.body["args"][1])
        callee.resolve(call)

    callee.on_call = take
    large = b"x" * (2 * SINGLE_FRAME)
    call = asyncio.create_task(hub.calls.call("home/c", METHOD, [large]))
    await asyncio.wait([call], timeout=0.2)
    call.cancel()
    await asyncio.wait([call])

    assert actions == ["create", "append", "append", "append", "process"]
    whole = FrameReader(4 * SINGLE_FRAME).read(b"".join(parts))
    assert whole.envelope["method"] == METHOD
    assert whole.body["args"] == [large]


async def test_a_callee_has_no_more_time_for_a_long_call_than_for_a_short_one() -> None:
    hub = FakeHub(call_timeout=0.4)
    callee, taken = hub.connect("home/c"), list[Frame]()

    def take(call: Frame) -> None:
        """Say that a chunk has come, in time for that chunk."""
        taken.append(call)
        asyncio.get_running_loop().call_later(0.1, callee.resolve, call)

    callee.on_call = take

    with pytest.raises(CallTimeout, match="home/c did not answer services.s.f in time"):
        await hub.calls.call("home/c", METHOD, [bytes(20 * SINGLE_FRAME)])

    assert len(taken) < 20
    assert hub.calls.waiting_for("home/c") == 0


async def test_who_takes_no_chunk_is_sent_no_more_long_messages_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calling, "LONG_MESSAGES", 6 * SINGLE_FRAME)
    hub = FakeHub()
    silent, other = hub.connect("home/silent"), hub.connect("home/other")
    large = b"x" * SINGLE_FRAME

    calls = [asyncio.create_task(hub.calls.call("home/silent", METHOD, [large])) for _ in range(3)]
    with pytest.raises(Overloaded, match="Too much is on its way to home/silent"):
        await asyncio.wait_for(calls[2], LIMIT)
    refuse_chunks(other)
    with pytest.raises(RemoteError, match="it has come"):
        await hub.calls.call("home/other", METHOD, [large])

    hub.client.target_left("home/silent", ClientLeft("it left"))
    await asyncio.gather(*calls, return_exceptions=True)
    refuse_chunks(silent)
    with pytest.raises(RemoteError, match="it has come"):  # there is room again
        await hub.calls.call("home/silent", METHOD, [large])


def refuse_chunks(client: FakeClient) -> None:
    def refuse(call: Frame) -> None:
        if "promise" in call.body:  # it waits for an answer
            reject(client, call, rpc.error("it has come"))

    client.on_call = refuse


@pytest.mark.parametrize("how", ["leaves", "rejects both"])
async def test_nothing_is_said_of_a_long_call_whose_chunk_has_come_to_nothing(
    hub: FakeHub, callee: FakeClient, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    call = asyncio.create_task(hub.calls.call("home/c", METHOD, [b"x" * (2 * SINGLE_FRAME)]))
    (chunk,) = await callee.has(1)

    if how == "leaves":
        hub.client.target_left("home/c", ClientLeft("it left"))
    else:
        for session in list(hub.calls._placed):  # of which one is in the message alone
            method = f"{session}.reject"
            callee.say(chunk.envelope["from"], method, {"args": [rpc.error("no")]})
    with pytest.raises(HubError, match="it left|no"):
        await call
    del call
    gc.collect()

    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(("answers", "is_alive"), [(True, True), (False, False)])
async def test_whether_a_client_still_answers(
    hub: FakeHub, callee: FakeClient, answers: bool, is_alive: bool
) -> None:
    refused = rpc.error("no such function")
    callee.on_call = callee.resolve if answers else lambda call: reject(callee, call, refused)

    assert await hub.calls.is_alive("home/c") is is_alive


async def test_a_long_call_is_in_memory_once(hub: FakeHub, callee: FakeClient) -> None:
    """Beside its arguments, which whoever calls may still need."""

    def take(call: Frame) -> None:
        callee.received.clear()
        if call.envelope["method"].endswith(".process"):
            reject(callee, call, rpc.error("it has come whole"))
        elif "promise" in call.body:
            callee.resolve(call)

    callee.on_call = take
    argument = bytes(20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match="it has come whole"):
            await hub.calls.call("home/c", METHOD, [argument])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # msgpack reserves twice what it needs, and never touches the other half.
    assert peak < 2.5 * len(argument)
