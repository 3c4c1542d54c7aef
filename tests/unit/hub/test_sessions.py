"""Functions that the hub passes in a call: who may call them, how long, how many at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hypha_cluster.errors import ClientLeft, HubError
from hypha_cluster.hub.calls import Behalf
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.limits import CALLBACK_BYTES, CALLBACKS
from tests.unit.hub.peers import NODE, FakeClient, FakeHub

METHOD = "services.app.serve"
LIMIT = 5.0


@pytest.fixture(params=[False, True], ids=["in a task", "at once"])
async def hub(request: pytest.FixtureRequest) -> AsyncIterator[FakeHub]:
    made = FakeHub()
    made.prompt = request.param
    yield made
    await made.client.stop()


@pytest.fixture
def callee(hub: FakeHub) -> FakeClient:
    return hub.connect("home/app")


async def double(number: int) -> int:
    return 2 * number


def reference_in(call: Frame) -> dict[str, Any]:
    reference: dict[str, Any] = call.body["args"][0]
    return reference


async def test_a_client_calls_what_it_is_passed_and_then_answers(
    hub: FakeHub, callee: FakeClient
) -> None:
    async def serve(call: Frame) -> None:
        result = await callee.begin(reference_in(call), 21)
        callee.resolve(call, result)

    on_call(callee, serve)

    async with hub.calls.session(callee.address) as session:
        answer = await session.call(METHOD, [session.offer("double", double)])

    assert answer == 42
    assert not callee_sessions(hub)


def on_call(client: FakeClient, serve: Callable[[Frame], Any]) -> None:
    tasks = set()

    def begin(call: Frame) -> None:
        task = asyncio.get_running_loop().create_task(serve(call))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    client.on_call = begin


def callee_sessions(hub: FakeHub) -> dict[str, Any]:
    return hub.calls._sessions | hub.calls._placed


@contextlib.asynccontextmanager
async def passed(hub: FakeHub, callee: FakeClient, **offers: Any) -> AsyncIterator[Any]:
    """Have a call under way; yield the session and references to what it offers."""
    came = asyncio.Event()
    callee.on_call = lambda frame: came.set()
    async with hub.calls.session(callee.address) as session:
        references = {
            name: session.offer(name, offered, prompt=hub.prompt)
            for name, offered in offers.items()
        }
        call = asyncio.create_task(session.call(METHOD, []))
        await came.wait()
        try:
            yield session, references
        finally:
            call.cancel()
            await asyncio.wait([call])


async def test_the_call_is_made_on_behalf_of_somebody(hub: FakeHub, callee: FakeClient) -> None:
    callee.on_call = lambda call: callee.resolve(call)
    ann = Identity("ann")

    async with hub.calls.session(callee.address, behalf=Behalf(ann, "public")) as session:
        reference = session.offer("double", double)
        await session.call(METHOD, [reference])

    call = callee.received[0]
    assert call.envelope["from"] == f"public/~{NODE}"
    assert call.envelope["user"]["id"] == "ann"
    assert reference["_rtarget"] == f"public/~{NODE}"
    assert call.body["promise"]["interval"] > 0


async def test_nobody_but_the_called_client_may_call_back(hub: FakeHub, callee: FakeClient) -> None:
    other = hub.connect("home/other")

    async with passed(hub, callee, double=double) as (_, references):
        with pytest.raises(HubError, match="Access denied for method call"):
            await other.begin(references["double"], 1)


async def test_when_the_session_is_over_calls_are_refused(hub: FakeHub, callee: FakeClient) -> None:
    async with passed(hub, callee, double=double) as (session, references):
        assert await callee.begin(references["double"], 1) == 2

    with pytest.raises(HubError, match=f"Parent session was closed: {session.name}"):
        await callee.begin(references["double"], 1)


async def test_a_heartbeat_of_a_call_that_is_over_is_refused(
    hub: FakeHub, callee: FakeClient
) -> None:
    """By which a published client learns to break off what nobody waits for."""
    async with passed(hub, callee):
        heartbeat = callee.received[0].body["promise"]["heartbeat"]
        assert await callee.begin(heartbeat) is None

    with pytest.raises(HubError, match="Parent session was closed"):
        await callee.begin(heartbeat)


async def test_a_call_that_waits_is_refused_when_the_session_ends(
    hub: FakeHub, callee: FakeClient
) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async with passed(hub, callee, receive=forever) as (_, references):
        waiting = callee.begin(references["receive"])
        await asyncio.sleep(0)

    with pytest.raises(HubError, match="Parent session was closed"):
        await asyncio.wait_for(waiting, LIMIT)


async def test_the_session_hears_that_the_client_has_left(hub: FakeHub, callee: FakeClient) -> None:
    callee.on_call = lambda call: hub.client.target_left(callee.address, ClientLeft("gone"))

    async with hub.calls.session(callee.address) as session:
        with pytest.raises(ClientLeft, match="gone"):
            await session.call(METHOD, [])


async def test_who_awaits_its_calls_goes_at_the_pace_of_the_taker(
    hub: FakeHub, callee: FakeClient
) -> None:
    taken, may_go = [], asyncio.Event()

    async def send(piece: bytes) -> None:
        taken.append(piece)
        await may_go.wait()

    async with passed(hub, callee, send=send) as (_, references):
        first, second = (callee.begin(references["send"], piece) for piece in (b"1", b"2"))
        await asyncio.wait([first], timeout=0.05)
        before = list(taken)
        may_go.set()
        await asyncio.wait_for(second, LIMIT)

    assert before == [b"1"]
    assert taken == [b"1", b"2"]


async def test_what_waits_for_nothing_is_answered_before_anything_else_happens(
    hub: FakeHub, callee: FakeClient
) -> None:
    async with passed(hub, callee, double=double) as (session, references):
        answer = callee.begin(references["double"], 1)

        assert bool([*session.tasks]) is not hub.prompt
        assert await asyncio.wait_for(answer, LIMIT) == 2


async def test_a_long_answer_goes_in_chunks(hub: FakeHub, callee: FakeClient) -> None:
    """Which wait for each other, as nothing can that is answered at once."""

    async def read() -> bytes:
        return b"x" * 600_000

    async with passed(hub, callee, read=read) as (_, references):
        callee.on_call = callee.resolve
        callee.begin(references["read"])
        methods = [frame.envelope["method"] for frame in await callee.has(5)]

    assert [each.rpartition(".")[2] for each in methods[1:] if "cache" in each][-1] == "append"


async def test_functions_do_not_wait_for_each_other(hub: FakeHub, callee: FakeClient) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async with passed(hub, callee, receive=forever, double=double) as (_, references):
        callee.begin(references["receive"])
        assert await asyncio.wait_for(callee.begin(references["double"], 2), LIMIT) == 4


@pytest.mark.parametrize(
    ("many", "size"), [(CALLBACKS + 1, 1), (3, CALLBACK_BYTES // 2)], ids=["calls", "bytes"]
)
async def test_too_much_that_waits_is_refused(
    hub: FakeHub, callee: FakeClient, many: int, size: int
) -> None:
    may_go = asyncio.Event()

    async def send(piece: bytes) -> None:
        await may_go.wait()

    async with passed(hub, callee, send=send) as (_, references):
        answers = [callee.begin(references["send"], b"x" * size) for _ in range(many)]
        with pytest.raises(HubError, match="await each before the next"):
            await asyncio.wait_for(answers.pop(), LIMIT)
        may_go.set()
        await asyncio.wait_for(asyncio.gather(*answers), LIMIT)
        assert await callee.begin(references["send"], b"more") is None


async def test_one_large_call_is_taken(hub: FakeHub, callee: FakeClient) -> None:
    async def size(piece: bytes) -> int:
        return len(piece)

    async with passed(hub, callee, size=size) as (_, references):
        large = b"x" * (2 * CALLBACK_BYTES)
        assert await callee.begin(references["size"], large) == len(large)


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ([], {}, "double: missing a required argument: 'number'"),
        ([1, 2], {}, "double: too many positional arguments"),
        ([], {"n": 1}, "double: missing a required argument"),
    ],
)
async def test_arguments_that_do_not_fit_are_the_clients_mistake(
    hub: FakeHub, callee: FakeClient, args: list[Any], kwargs: dict[str, Any], reason: str
) -> None:
    async with passed(hub, callee, double=double) as (_, references):
        with pytest.raises(HubError, match=reason):
            await callee.begin(references["double"], *args, **kwargs)


async def test_a_failure_of_the_hub_is_said_to_be_one(hub: FakeHub, callee: FakeClient) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async with passed(hub, callee, broken=broken) as (_, references):
        with pytest.raises(HubError, match="The hub failed"):
            await callee.begin(references["broken"])

    assert hub.supervisor.failures["callback"] == 1


async def test_what_is_not_offered_is_refused(hub: FakeHub, callee: FakeClient) -> None:
    async with passed(hub, callee, double=double) as (_, references):
        unknown = {**references["double"]}
        unknown["_rmethod"] = unknown["_rmethod"].replace("double", "triple")
        with pytest.raises(HubError, match="'triple'"):
            await callee.begin(unknown)


@pytest.mark.parametrize("name", ["resolve", "reject", "a.b", "double"])
async def test_names_that_mean_something_else_cannot_be_offered(
    hub: FakeHub, callee: FakeClient, name: str
) -> None:
    async with hub.calls.session(callee.address) as session:
        session.offer("double", double)
        with pytest.raises(ValueError, match="cannot be offered"):
            session.offer(name, double)


async def test_large_arguments_come_in_chunks(hub: FakeHub, callee: FakeClient) -> None:
    async def size(piece: bytes) -> int:
        return len(piece)

    async with passed(hub, callee, size=size) as (_, references):
        reference = references["size"]

        def cache(action: str, *args: Any) -> asyncio.Future[Any]:
            method = f"services.built-in.message_cache.{action}"
            return callee.begin({**reference, "_rmethod": method}, *args)

        inner = inner_call(callee, reference, b"x" * 2_000_000)
        await cache("create", "k", True)
        for start in range(0, len(inner), 512_000):
            await cache("append", "k", inner[start : start + 512_000], True)
        answer = callee.expect("inner")
        await cache("process", "k", True)

        assert await asyncio.wait_for(answer, LIMIT) == 2_000_000


def inner_call(callee: FakeClient, reference: dict[str, Any], piece: bytes) -> bytes:
    return callee.packed(reference, piece, session="inner")
