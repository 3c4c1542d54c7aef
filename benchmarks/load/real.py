"""The work as users do it, with the published Python client. Runs in the client's environment."""

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from imjoy_rpc.hypha import connect_to_server

from benchmarks.load.job import Job, Measurement, Operation, repeat, repeat_in_waves

MEGABYTE = 1_000_000
SERVICE = "benchmark"
BATCH = 20  # registrations between two times of taking everything away again
METHOD_TIMEOUT = 120.0
Client = Any


class Team:
    """Clients in one workspace, made by the first of them."""

    def __init__(self, job: Job, founder: Client, token: str) -> None:
        self.founder = founder
        self._job = job
        self._token = token
        self._members: list[Client] = []

    async def join(self, node: int = 0) -> Client:
        """Connect one more client, to the gateway of that number."""
        member = await self.connect(self._job.url(node))
        self._members.append(member)
        return member

    async def connect(self, url: str) -> Client:
        return await connect_to_server(
            {
                "server_url": url,
                "workspace": self.founder.config["workspace"],
                "token": self._token,
                "method_timeout": METHOD_TIMEOUT,
            }
        )

    async def disband(self) -> None:
        for member in [*self._members, self.founder]:
            await member.disconnect()


@asynccontextmanager
async def team(job: Job) -> AsyncIterator[Team]:
    founder = await connect_to_server({"server_url": job.url(0), "method_timeout": METHOD_TIMEOUT})
    together = Team(job, founder, await founder.generate_token())
    try:
        yield together
    finally:
        await together.disband()


def _new_echo() -> Callable[[Any], Any]:
    """The client keeps notes on a function, so every service needs one of its own."""

    def echo(value: Any) -> Any:
        return value

    return echo


async def provide(provider: Client) -> None:
    service = {"id": SERVICE, "config": {"visibility": "public"}, "echo": _new_echo()}
    await provider.register_service(service)


async def _echo_of(caller: Client) -> Callable[[Any], Awaitable[Any]]:
    service = await caller.get_service(SERVICE)
    echo: Callable[[Any], Awaitable[Any]] = service.echo
    return echo


async def echo(job: Job) -> Measurement:
    """`callers`, each with `each` calls under way at a time, of one provider on the last node."""
    async with team(job) as clients:
        await provide(await clients.join(len(job.urls) - 1))
        callers = [await clients.join() for _ in range(job.option("callers", 1))]
        echoes = [await _echo_of(caller) for caller in callers]
        return await repeat([partial(_call, f, 1) for f in echoes * job.option("each", 1)], job)


async def _call(function: Callable[[Any], Awaitable[Any]], value: Any) -> None:
    await function(value)


async def array(job: Job) -> Measurement:
    """Arrays of `megabytes` there and back, one at a time."""
    import numpy

    size = job.option("megabytes") * MEGABYTE
    content = numpy.random.default_rng(0).integers(0, 256, size, dtype="uint8")
    async with team(job) as clients:
        await provide(await clients.join(len(job.urls) - 1))
        return await repeat([partial(_call, await _echo_of(await clients.join()), content)], job)


async def get_service(job: Job) -> Measurement:
    async with team(job) as clients:
        await provide(await clients.join(len(job.urls) - 1))
        return await repeat([partial(_call, (await clients.join()).get_service, SERVICE)], job)


async def register_service(job: Job) -> Measurement:
    """Register services where there are `services` already, of ten others or one's `own`."""
    async with team(job) as clients:
        provider, measured = await clients.join(), Measurement()
        services = job.option("services")
        if job.option("own"):
            await _fill(provider, services)
        else:
            for number in range(10):
                await _fill(await clients.join(number), services // 10)
        await _register_until(time.perf_counter() + job.warm_up, provider, job, Measurement())
        await _register_until(time.perf_counter() + job.seconds, provider, job, measured)
        return measured


async def _fill(client: Client, services: int) -> None:
    """Have a client offer many services at the price of one registration."""
    for number in range(services):
        service = {"id": f"filler-{number}", "echo": _new_echo()}
        await client.rpc.register_service(service, notify=False)
    await client.rpc.register_service({"id": "last-filler", "echo": _new_echo()})


async def _register_until(end: float, provider: Client, job: Job, measured: Measurement) -> None:
    while time.perf_counter() < end:
        with measured.metered(job):
            for number in range(BATCH):
                since = time.perf_counter()
                await provider.register_service({"id": f"new-{number}", "echo": _new_echo()})
                measured.add(since)
        for number in range(BATCH):
            last = number == BATCH - 1
            await provider.rpc.unregister_service(f"new-{number}", notify=last)


async def connect(job: Job) -> Measurement:
    """Connect and leave again, `at_once` clients at a time."""
    async with team(job) as clients:

        async def come_and_go() -> None:
            await (await clients.connect(job.url(next(numbers)))).disconnect()

        numbers = itertools.count()
        operations: list[Operation] = [come_and_go] * job.option("at_once", 1)
        return await repeat(operations, job)


async def fan_out(job: Job) -> Measurement:
    """Every one of `callers` calls the one provider at the same time."""
    async with team(job) as clients:
        await provide(await clients.join())
        callers = [await clients.join(number) for number in range(job.option("callers"))]
        echoes = [await _echo_of(caller) for caller in callers]
        return await repeat_in_waves([partial(_call, echo, 1) for echo in echoes], job)
