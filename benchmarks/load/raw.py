"""The work in frames that were packed in advance, so that the client is not the limit."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from benchmarks.load.job import Job, Measurement, Operation, repeat
from benchmarks.load.raw_client import PATIENCE, RawClient, call_frame, masked, reply_frame

CONNECTING_AT_ONCE = 20
SERVICE = "benchmark"
KILOBYTE = 1_000
FRAME_SIZE = 200  # bytes of payload that echo servers are sent
CONNECTIONS, UNDER_WAY = 8, 64  # of frames at such a server, unless a case says otherwise
RETRY = 1.0  # seconds
SETTLING = 1.0  # seconds after many connections, before memory is read
IDLE_TIME = 3.0  # seconds at least


class Pair:
    """A caller and the provider that answers it: frames in order, so that none need be read.

    `call` starts one call; `on_answer` is called for each, with the time when it was started.
    """

    def __init__(self, caller: RawClient, provider: RawClient, window: int, size: int) -> None:
        self._caller = caller
        self._provider = provider
        payload = random.Random(0).randbytes(size)
        sessions = [f"{caller.id}{number:06}" for number in range(window)]
        method = f"services.{SERVICE}.echo"
        calls = [
            call_frame(provider.address, method, [payload], session, caller.id)
            for session in sessions
        ]
        replies = [
            reply_frame(caller.address, session, provider.id, payload) for session in sessions
        ]
        self._calls, self._replies = itertools.cycle(calls), itertools.cycle(replies)
        self._started: deque[float] = deque()
        self.on_answer: Callable[[float], None]
        caller.on_message = self._answered
        provider.on_message = self._reply

    async def ready(self) -> None:
        """Return when calls get through; the original loses the first ones between nodes."""
        answered = asyncio.Event()
        self.on_answer = lambda since: answered.set()
        while not answered.is_set():
            self.call()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), RETRY)
        if len(self._started):  # an earlier call may be answered yet
            await asyncio.sleep(SETTLING)
            self._started.clear()

    def call(self) -> None:
        self._started.append(time.perf_counter())
        self._caller.write(next(self._calls))

    def _reply(self, payload: bytes) -> None:
        self._provider.write(next(self._replies))

    def _answered(self, payload: bytes) -> None:
        self.on_answer(self._started.popleft())


class Echo:
    """One connection to a server that echoes, used as a Pair is."""

    def __init__(self, client: RawClient, frame: bytes) -> None:
        self._client = client
        self._frame = frame
        self._started: deque[float] = deque()
        self.on_answer: Callable[[float], None]
        client.on_message = lambda payload: self.on_answer(self._started.popleft())

    def call(self) -> None:
        self._started.append(time.perf_counter())
        self._client.write(self._frame)


class Exchange:
    """Keeps a number of calls under way, spread over all pairs in turn."""

    def __init__(self, pairs: Sequence[Pair | Echo], under_way: int) -> None:
        self._next = itertools.cycle(pairs)
        self._under_way = under_way
        self._running = 0
        self._end = 0.0
        self._measured = Measurement()
        self._done = asyncio.Event()
        for pair in pairs:
            pair.on_answer = self._answered

    async def run(self, job: Job) -> Measurement:
        await self._run_for(job.warm_up, Measurement())
        measured = Measurement()
        with measured.metered(job):
            await self._run_for(job.seconds, measured)
        return measured

    async def _run_for(self, seconds: float, measured: Measurement) -> None:
        self._measured = measured
        self._end = time.perf_counter() + seconds
        self._done.clear()
        self._running = self._under_way
        for _ in range(self._under_way):
            next(self._next).call()
        async with asyncio.timeout(seconds + PATIENCE):
            await self._done.wait()

    def _answered(self, since: float) -> None:
        self._measured.add(since)
        if time.perf_counter() < self._end:
            next(self._next).call()
            return
        self._running -= 1
        if not self._running:
            self._done.set()


class Team:
    """Raw clients in one workspace."""

    def __init__(self, job: Job, founder: RawClient) -> None:
        self._job = job
        self.founder = founder
        self._members: list[RawClient] = []

    async def join(self, node: int) -> RawClient:
        member = await self.connect(self._job.url(node))
        self._members.append(member)
        return member

    async def connect(self, url: str) -> RawClient:
        return await RawClient().connect(url, self.founder.workspace, self.founder.token)

    async def join_many(self, nodes: list[int]) -> list[RawClient]:
        """Connect to these nodes, a few at the same time."""
        turns = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def join(node: int) -> RawClient:
            async with turns:
                return await self.join(node)

        return list(await asyncio.gather(*(join(node) for node in nodes)))

    async def pairs(
        self, count: int, window: int, size: int = 32, *, near: bool = False
    ) -> list[Pair]:
        """Callers on the nodes in turn, and each one's provider on the node after, or `near`."""
        callers = await self.join_many(list(range(count)))
        away = 0 if near else 1
        providers = await self.join_many([number + away for number in range(count)])
        pairs = [Pair(*both, window, size) for both in zip(callers, providers, strict=True)]
        await asyncio.gather(*(pair.ready() for pair in pairs))
        return pairs

    def disband(self) -> None:
        for member in [*self._members, self.founder]:
            member.abort()


@asynccontextmanager
async def team(job: Job) -> AsyncIterator[Team]:
    founder = await RawClient().connect(job.url(0))
    info = await founder.call_manager("services.default.get_connection_info")
    founder.workspace = info["workspace"]
    founder.token = await founder.call_manager("services.default.generate_token")
    together = Team(job, founder)
    try:
        yield together
    finally:
        together.disband()


async def echo(job: Job) -> Measurement:
    """`pairs` of clients that have `under_way` calls under way in all."""
    pairs, under_way = job.option("pairs", 1), job.option("under_way", 1)
    async with team(job) as clients:
        window = -(-under_way // pairs)
        size = job.option("kilobytes") * KILOBYTE or 32
        near = bool(job.option("near"))
        together = await clients.pairs(pairs, window, size, near=near)
        measured = await Exchange(together, under_way).run(job)
    measured.extra["frames_per_second"] = 2 * measured.operations / measured.cost.wall
    return measured


async def websocket_echo(job: Job) -> Measurement:
    """`connections` to a server that echoes, with `under_way` frames under way in all."""
    async with _echoes(job) as echoes:
        return await Exchange(echoes, job.option("under_way", UNDER_WAY)).run(job)


@asynccontextmanager
async def _echoes(job: Job) -> AsyncIterator[list[Echo]]:
    frame = masked(random.Random(0).randbytes(FRAME_SIZE))
    count = job.option("connections", CONNECTIONS)
    clients = [await RawClient().connect(job.url(0)) for _ in range(count)]
    try:
        yield [Echo(client, frame) for client in clients]
    finally:
        for client in clients:
            client.abort()


async def half_load(job: Job) -> Measurement:
    """Calls at even intervals, half as many as the gateway can take: how long is each?"""
    async with team(job) as clients:
        return await _half_load(await clients.pairs(CONNECTIONS, 1000), job)


async def websocket_half_load(job: Job) -> Measurement:
    """The same with frames at a server that echoes."""
    async with _echoes(job) as echoes:
        return await _half_load(echoes, job)


async def _half_load(pairs: Sequence[Pair | Echo], job: Job) -> Measurement:
    fastest = await Exchange(pairs, UNDER_WAY).run(job)
    rate = fastest.operations / fastest.cost.wall / 2
    measured = await _paced(pairs, rate, job)
    measured.extra["p99_over_p50"] = _spread(measured)
    return measured


def _spread(measured: Measurement) -> float:
    shown = measured.to_json()
    return float(shown["p99"] / shown["p50"])


async def _paced(pairs: Sequence[Pair | Echo], rate: float, job: Job) -> Measurement:
    measured = Measurement()
    for pair in pairs:
        pair.on_answer = measured.add
    turn, due = itertools.cycle(pairs), time.perf_counter()
    end = due + job.seconds
    with measured.metered(job):
        while due < end:
            while due <= time.perf_counter():
                next(turn).call()
                due += 1 / rate
            await asyncio.sleep(0)
        await asyncio.sleep(SETTLING)
    return measured


async def get_service(job: Job) -> Measurement:
    async with team(job) as clients:
        provider, caller = await clients.join(len(job.urls) - 1), await clients.join(0)
        provider.services[SERVICE] = {
            "id": SERVICE,
            "name": SERVICE,
            "type": "generic",
            "config": {"visibility": "public"},
            "echo": _echo_reference(provider),
        }
        await provider.announce()
        method = "services.default.get_service"
        return await repeat([partial(_ask, caller, method, SERVICE)], job)


def _echo_reference(provider: RawClient) -> dict[str, Any]:
    method = f"services.{SERVICE}.echo"
    target = provider.address
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": True}


async def _ask(caller: RawClient, method: str, *arguments: Any) -> None:
    await caller.call_manager(method, *arguments)


async def connect(job: Job) -> Measurement:
    """Connect, ask what every client asks, leave; `at_once` clients at a time."""
    async with team(job) as clients:

        async def come_and_go() -> None:
            client = await clients.connect(job.url(next(numbers)))
            await client.call_manager("services.built-in.get_service", "default")
            await client.call_manager("services.default.get_connection_info")
            await client.leave()

        numbers = itertools.count()
        operations: list[Operation] = [come_and_go] * job.option("at_once", 1)
        return await repeat(operations, job)


async def idle(job: Job) -> Measurement:
    """What `connections` that do nothing cost."""
    measured = Measurement()
    async with team(job) as clients:
        await clients.join_many([0] * 10)
        await asyncio.sleep(SETTLING)
        empty = job.server_memory()
        await clients.join_many(list(range(job.option("connections"))))
        await asyncio.sleep(SETTLING)
        with measured.metered(job):
            await asyncio.sleep(max(job.seconds, IDLE_TIME))
        grown = job.server_memory() - empty
    measured.operations = job.option("connections")
    measured.extra["kilobytes_each"] = grown / measured.operations / KILOBYTE
    measured.extra["idle_cpu_percent"] = 100 * measured.cost.server / measured.cost.wall
    return measured
