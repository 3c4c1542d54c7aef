"""Functions of a service called over HTTP, by connections that are kept open."""

from functools import partial

from benchmarks.load.http_caller import Caller
from benchmarks.load.job import Job, Measurement, Operation, repeat
from benchmarks.load.real import SERVICE, provide, team


async def call(job: Job) -> Measurement:
    """`callers` connections to the first node; the provider is on the last."""
    async with team(job) as clients:
        await provide(await clients.join(len(job.urls) - 1))
        path = f"/{clients.founder.config['workspace']}/services/{SERVICE}/echo"
        method = "POST" if job.option("post") else "GET"
        callers = [
            await Caller(job.url(0), path, method).connect()
            for _ in range(job.option("callers", 1))
        ]
        operations: list[Operation] = [partial(caller.request) for caller in callers]
        try:
            return await repeat(operations, job)
        finally:
            for caller in callers:
                caller.close()
