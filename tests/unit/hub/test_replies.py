"""Answers of the hub: sent as whoever was called; a call is at work until it has one."""

import asyncio
from typing import cast

import pytest

from hypha_cluster.hub import replies as module
from hypha_cluster.hub.replies import Replies
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.supervision import Supervisor

CALLER = rpc.Caller(
    address="ann/me",
    target="ann/workspace-manager",
    session="s",
    resolve="s.resolve",
    reject="s.reject",
    heartbeat=None,
    interval=0.0,
)
READER = FrameReader(10_000)


class FakeDelivery:
    def __init__(self) -> None:
        self.answers: list[tuple[str, bytes]] = []
        self.came = asyncio.Event()

    def answer(self, target: str, sealed: bytes) -> None:
        self.answers.append((target, sealed))
        self.came.set()


@pytest.fixture
def delivery() -> FakeDelivery:
    return FakeDelivery()


@pytest.fixture
def replies(delivery: FakeDelivery) -> Replies:
    return Replies(cast(Delivery, delivery), Supervisor())


async def test_an_answer_comes_from_whom_was_called(
    replies: Replies, delivery: FakeDelivery
) -> None:
    replies.send(CALLER, CALLER.resolve, 5)

    ((target, sealed),) = delivery.answers
    frame = READER.read(sealed)
    assert target == "ann/me"
    assert frame.envelope["from"] == "ann/workspace-manager"
    assert frame.envelope["method"] == "s.resolve"
    assert frame.body == {"args": [5]}


async def test_who_waits_for_nothing_gets_nothing(replies: Replies, delivery: FakeDelivery) -> None:
    replies.send(CALLER, None, 5)

    assert delivery.answers == []


async def test_a_client_has_so_many_calls_at_work_and_all_have_so_many(
    replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("HUB_CALLS", 5), ("ALL_HUB_CALLS", 8), ("FEW_HUB_CALLS", 2)):
        monkeypatch.setattr(module, name, most)
    you, done = CALLER._replace(address="ann/you"), asyncio.Event()

    async def work() -> None:
        await done.wait()

    def begin(caller: rpc.Caller) -> int:
        """Have as many calls at work as there is room for; answer how many."""
        many = 0
        while (refusal := replies.refusal(caller, 1)) is None:
            replies.run(work(), caller, 1)
            many += 1
        assert "wait for the answers to some of them" in str(refusal)
        return many

    assert begin(CALLER) == 5
    assert begin(you) == 3  # as all have enough now
    assert begin(CALLER._replace(address="ann/third")) == 2  # which everybody has

    done.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert replies.refusal(CALLER, 1) is None


async def test_what_calls_at_work_take_leaves_as_much_to_others(
    delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HUB_CALL_BYTES", 100)
    replies = Replies(cast(Delivery, delivery), Supervisor())
    you, done = CALLER._replace(address="ann/you"), asyncio.Event()

    async def work() -> None:
        await done.wait()

    for caller, most in ((CALLER, 5), (you, 2)):
        for _ in range(most):
            assert replies.refusal(caller, 10) is None
            replies.run(work(), caller, 10)
        assert "wait for the answers to some of them" in str(replies.refusal(caller, 10))
    assert replies.refusal(you, 5) is None
    third = CALLER._replace(address="ann/third")  # of whom none is at work
    assert "too many long calls, of yours or of others" in str(replies.refusal(third, 40))

    done.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert replies.refusal(CALLER, 1000) is None  # a larger one when there is no other


async def test_a_call_is_at_work_until_it_ends(replies: Replies) -> None:
    done = asyncio.Event()

    async def work() -> None:
        await done.wait()

    replies.run(work(), CALLER, 1)
    replies.run(work(), CALLER, 1)
    assert replies.is_serving("ann/me")
    assert not replies.is_serving("ann/you")

    done.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    assert not replies.is_serving("ann/me")


async def test_what_fails_is_answered_without_the_cause(
    replies: Replies, delivery: FakeDelivery
) -> None:
    async def work() -> None:
        raise KeyError("secret")

    replies.run(work(), CALLER, 1)
    await asyncio.wait_for(delivery.came.wait(), 10)

    frame = READER.read(delivery.answers[0][1])
    text = rpc.error_text(frame.body["args"][0])
    assert frame.envelope["method"] == "s.reject"
    assert text == "The hub failed to answer; its operator finds the cause in its log."
