"""What may not become dearer unnoticed, counted and not timed, so that it is the same everywhere.

Each limit is what was counted when it was last changed. If a change makes something cheaper, lower
its limit; if it makes something dearer and is worth that, raise it and say in the commit why.
"""

import asyncio
import functools
import gc
import itertools
import sys
import tracemalloc
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import hypercorn
import pytest
from redis.asyncio import Redis

import hypha_cluster
from hypha_cluster import supervision
from hypha_cluster.config import Config
from hypha_cluster.log_fields import good_request_id
from tests.conftest import GatewayFactory
from tests.in_process import served
from tests.raw_client import LIMIT, MANAGER, RawClient

TIMES = 20
PACKAGE = str(Path(hypha_cluster.__file__).parent)
# No heartbeat of a node's falls into what is counted.
QUIET: dict[str, Any] = {"lease_interval": 600.0, "lease_ttl": 1800.0}

# Commands that gateways send to Redis for one operation; what a script does inside is its own.
COMMANDS = {
    "call on one node": 0,
    "call between nodes": 2,
    "get a service": 1,
    "announce a service": 2,
    "register a service": 2,
    "call by HTTP": 0,
    "connect and leave": 7,
}
# Calls that the hub's own code makes, of functions in Python and in C, to pass on one frame.
CALLS_PER_FRAME = {
    "call on one node": 74,
    "call between nodes": 139,
    "ask what the hub offers": 57,
}
# The same, for a whole operation; what Starlette and others call is not counted. Over HTTP they buy
# one table of permission, arguments that fit the function, bounds of what is read and for how long,
# and which pages may ask; of a visit, that nothing is left of a client, and that who waits is told;
# of a call to the hub, that what all of them keep in memory has a bound.
CALLS_PER_OPERATION = {
    "call by HTTP": 468,
    "connect and leave": 1210,
    "get a service": 406,
    "register a service": 461,
}

# What is freed with it, of what lines of the hub's own code have allocated; asyncio has some more.
BYTES_OF_AN_IDLE_CONNECTION = 3_200

Operation = Callable[[], Awaitable[object]]


def advice(what: str, counted: float, limit: float) -> str:
    return f"{what}: {counted:g} instead of {limit:g}; what to do is said in {Path(__file__).name}"


class Scene:
    """A provider and callers, on the same node and on another."""

    def __init__(self, provider: RawClient, near: RawClient, far: RawClient, urls: list[str]):
        self._provider, self._near, self._far = provider, near, far
        self._urls = urls
        self._numbers = itertools.count()

    def operations(self) -> dict[str, Operation]:
        return {
            "call on one node": functools.partial(self._call, self._near),
            "call between nodes": functools.partial(self._call, self._far),
            "get a service": functools.partial(self._near.manager, "get_service", "mirror"),
            "announce a service": self._announce,
            "register a service": self._register,
            "ask what the hub offers": self._ask,
            "call by HTTP": functools.partial(asyncio.to_thread, self._get),
            "connect and leave": self._visit,
        }

    async def _call(self, caller: RawClient) -> None:
        await caller.call(self._provider.address, "services.mirror.echo", 1)

    async def _announce(self) -> None:
        await self._near.offer(f"stall-{next(self._numbers)}")

    async def _register(self) -> None:
        register = "services.built-in.register_service"
        self._near.functions[register] = lambda api, options: {"id": api["id"], "config": {}}
        await self._near.manager("register_service", {"id": f"shop-{next(self._numbers)}"})

    async def _ask(self) -> None:
        await self._near.call(MANAGER, "services.built-in.get_service", "default")

    def _get(self) -> None:
        path = f"{self._provider.workspace}/services/mirror/echo?value=1"
        with urllib.request.urlopen(f"{self._urls[0]}/{path}") as response:
            assert response.status == 200

    async def _visit(self) -> None:
        async with await RawClient.connect(self._urls[0]):
            pass


@asynccontextmanager
async def scene(urls: list[str]) -> AsyncIterator[Scene]:
    async with await RawClient.connect(urls[0]) as provider:
        token = await provider.manager("generate_token")
        home = {"workspace": provider.workspace, "token": token}
        await provider.offer("mirror", "public", echo=lambda *values: values)
        async with (
            await RawClient.connect(urls[0], **home) as near,
            await RawClient.connect(urls[1], **home) as far,
        ):
            yield Scene(provider, near, far, urls)


@asynccontextmanager
async def commands_counted(redis: Redis, prefix: str) -> AsyncIterator[Counter[str]]:
    """Count what others send to Redis; only what has to do with one cluster."""
    counted: Counter[str] = Counter()
    async with redis.monitor() as monitor:
        yield counted
        await redis.echo(prefix + " is done")
        while not (seen := await monitor.next_command())["command"].startswith("ECHO"):
            if prefix in seen["command"] and seen["client_type"] != "lua":
                counted[seen["command"].partition(" ")[0]] += 1


@pytest.mark.parametrize("name", COMMANDS)
async def test_no_operation_needs_more_commands(
    name: str, gateway_factory: GatewayFactory, redis: Redis, redis_prefix: str
) -> None:
    urls = [gateway_factory(**QUIET).url for _ in range(2)]
    async with scene(urls) as stage:
        operation = stage.operations()[name]
        await operation()  # whatever is done once

        async with commands_counted(redis, redis_prefix) as counted:
            for _ in range(TIMES):
                await operation()

    each = round(counted.total() / TIMES)  # the end of a visit may fall outside
    assert each <= COMMANDS[name], f"{advice(name, each, COMMANDS[name])}\n{counted}"


@asynccontextmanager
async def node_in_this_process(redis_url: str, prefix: str) -> AsyncIterator[str]:
    config = Config(redis_url=redis_url, redis_prefix=prefix, port=0, **QUIET)
    async with served(config) as (url, _):
        yield url


class Profile:
    """Counts calls that the hub's code makes while it is on, and tasks that it starts.

    What a timer does is not counted: on a slower machine more of it falls into an operation.
    """

    def __init__(self) -> None:
        self._timer: FrameType | None = None
        self.calls: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()

    def __enter__(self) -> "Profile":
        asyncio.get_running_loop().set_task_factory(self._start_task)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        asyncio.get_running_loop().set_task_factory(None)

    def __str__(self) -> str:
        return "\n".join(f"{count:5} {name}" for name, count in self.calls.most_common())

    def _note(self, frame: FrameType, event: str, function: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE) or self._is_in_timer(frame, event):
            return
        if event == "call":
            self.calls[f"{Path(code.co_filename).stem}.{code.co_name}"] += 1
        elif event == "c_call":
            self.calls[f"{code.co_name} -> {function.__name__}"] += 1

    def _is_in_timer(self, frame: FrameType, event: str) -> bool:
        if self._timer is None and event == "call" and is_called_by_timer(frame):
            self._timer = frame
        is_in_timer = self._timer is not None
        if frame is self._timer and event == "return":
            self._timer = None
        return is_in_timer

    def _start_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        code = work.cr_code
        if code.co_filename.startswith(PACKAGE):
            self.tasks[code.co_name] += 1
        return asyncio.Task(work, loop=loop, **options)


def is_called_by_timer(frame: FrameType) -> bool:
    """Whether the event loop calls it because a time has come, or it is a job that goes on."""
    code, caller = frame.f_code, frame.f_back
    if code.co_name == "run" and code.co_filename == supervision.__file__:
        return True
    if caller is None or caller.f_code is not asyncio.Handle._run.__code__:
        return False
    return isinstance(caller.f_locals["self"], asyncio.TimerHandle)


async def test_what_a_timer_does_is_not_counted() -> None:
    loop = asyncio.get_running_loop()
    with Profile() as profile:
        loop.call_soon(good_request_id, "asked")
        loop.call_later(0.001, good_request_id, "timed")
        is_over = asyncio.Event()
        loop.call_later(0.002, is_over.set)  # timers fire in the order of their times
        await is_over.wait()
        loop.call_soon(good_request_id, "asked again")
        await asyncio.sleep(0)

    assert profile.calls["log_fields.good_request_id"] == 2


@pytest.mark.parametrize("name", CALLS_PER_FRAME)
async def test_a_frame_needs_no_more_calls_and_no_task(
    name: str, valkey_url: str, redis_prefix: str
) -> None:
    counted, profile = await calls_counted(name, valkey_url, redis_prefix)

    each = counted / 2  # of a call and its answer
    limit = CALLS_PER_FRAME[name]
    assert profile.tasks.total() < TIMES, profile.tasks
    assert each <= limit, f"{advice('a frame', each, limit)}\n{profile}"


@pytest.mark.parametrize("name", CALLS_PER_OPERATION)
async def test_an_operation_needs_no_more_calls(
    name: str, valkey_url: str, redis_prefix: str
) -> None:
    each, profile = await calls_counted(name, valkey_url, redis_prefix)

    limit = CALLS_PER_OPERATION[name]
    assert each <= limit, f"{advice(name, each, limit)}\n{profile}"


async def calls_counted(name: str, redis_url: str, prefix: str) -> tuple[float, Profile]:
    """Count the calls of an operation; now and then something else happens meanwhile."""
    nodes = [node_in_this_process(redis_url, prefix) for _ in range(2)]
    async with nodes[0] as near, nodes[1] as far, scene([near, far]) as stage:
        operation = stage.operations()[name]
        await operation()

        counts = []
        with Profile() as profile:
            for _ in range(TIMES):
                before = profile.calls.total()
                await operation()
                counts.append(profile.calls.total() - before)
    return median(counts), profile


async def test_an_idle_connection_has_no_task(valkey_url: str, redis_prefix: str) -> None:
    async with node_in_this_process(valkey_url, redis_prefix) as url:
        await (await RawClient.connect(url)).close()  # now there is what they have in common
        before = servers_tasks()
        clients = [await RawClient.connect(url) for _ in range(10)]

        if ending := servers_tasks() - before:
            await asyncio.wait(ending, timeout=LIMIT)

        assert not servers_tasks() - before
        assert [await client.manager("echo", 1) for client in clients] == [1] * 10
        for client in clients:
            await client.close()


async def test_an_idle_connection_needs_no_more_memory(valkey_url: str, redis_prefix: str) -> None:
    many = 50
    async with node_in_this_process(valkey_url, redis_prefix) as url:
        await (await RawClient.connect(url)).close()
        before = servers_tasks()
        with hubs_memory_traced():
            clients = [await RawClient.connect(url) for _ in range(many)]
            with_them = hubs_memory()
            for client in clients:
                await client.close()
            if ending := servers_tasks() - before:
                await asyncio.wait(ending, timeout=LIMIT)
            freed = with_them.compare_to(hubs_memory(), "lineno")

    # A line may also keep more than before: leaving takes memory for a while, and fills caches.
    each = sum(max(0, line.size_diff) for line in freed) / many
    limit = BYTES_OF_AN_IDLE_CONNECTION
    lines = "\n".join(map(str, freed[:40]))
    assert each <= limit, f"{advice('bytes', each, limit)}\n{lines}"


@contextmanager
def hubs_memory_traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def hubs_memory() -> tracemalloc.Snapshot:
    """What lines of the hub's own code have allocated; names that nobody can guess are in stock."""
    gc.collect()
    ours = tracemalloc.Filter(True, f"{PACKAGE}/*")
    stock = tracemalloc.Filter(False, f"{PACKAGE}/randomness.py")
    return tracemalloc.take_snapshot().filter_traces([ours, stock])


def servers_tasks() -> set["asyncio.Task[Any]"]:
    """Those of the hub and of Hypercorn, not those of clients."""
    servers = (PACKAGE, str(Path(hypercorn.__file__).parent))
    coroutines: dict[asyncio.Task[Any], Any] = {t: t.get_coro() for t in asyncio.all_tasks()}
    return {t for t, c in coroutines.items() if c.cr_code.co_filename.startswith(servers)}
