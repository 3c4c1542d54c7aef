"""Runs a runner in this process, from its settings to its last signal."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import NamedTuple

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.launcher.running.bounds import Bounds
from hypha_cluster.features.launcher.running.browser import Browser, check_sandbox, find_browser
from hypha_cluster.features.launcher.running.egress import Egress, Target
from hypha_cluster.features.launcher.running.hosting import Outlook
from hypha_cluster.features.launcher.running.runner import Runner
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import list_nodes
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.registry.services import RecentlyFound, Services
from hypha_cluster.supervision import Supervisor

_log = logging.getLogger(__name__)


class Site(NamedTuple):
    """Which cluster it is. hub_url: where users reach it. patience: seconds for Redis to answer."""

    redis_url: str
    redis_prefix: str
    hub_url: str
    patience: float


async def run(
    site: Site, settings: LauncherSettings, on_ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Run instances until `stop`, SIGTERM or Ctrl-C; StartupError when nothing could be run."""
    program = find_browser(settings.app_browser)
    check_sandbox(is_off=settings.in_docker)
    supervisor, hub = Supervisor(), settings.app_hub_url or site.hub_url
    redis, keys = open_redis(site.redis_url, site.patience), Keys(site.redis_prefix)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        await redis.start()
        gateways = _Gateways(redis, keys)
        is_public = settings.app_network == "internet"
        egress = Egress(hub, gateways.targets, supervisor, public=is_public)
        browser = await stack.enter_async_context(
            Browser(
                program,
                egress,
                supervisor,
                memory=settings.app_memory,
                sandboxed=not settings.in_docker,
            )
        )
        outlook = _outlook(hub, redis, keys, _bounds(settings))
        runner = Runner(outlook, browser, settings.app_slots, supervisor)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, runner.stopping.set)
        stopping = asyncio.ensure_future(_pass_on(stop, runner.stopping))
        try:
            await runner.run(on_ready)
        finally:
            stopping.cancel()


async def _pass_on(one: asyncio.Event, other: asyncio.Event) -> None:
    await one.wait()
    other.set()


def _bounds(settings: LauncherSettings) -> Bounds:
    return Bounds(
        settings.app_page_memory,
        settings.app_cpu_time,
        settings.app_run_time,
        settings.app_drain_time,
    )


def _outlook(hub: str, redis: RedisClient, keys: Keys, bounds: Bounds) -> Outlook:
    services = Services(redis, keys, PublicListing(redis, keys), RecentlyFound())
    return Outlook(
        hub.rstrip("/"),
        Apps(redis, keys),
        Instances(redis, keys, with_pages=False),
        InstanceLogs(redis, keys),
        services,
        bounds,
    )


class _Gateways:
    """The gateways that are there, as they are known in Redis."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def targets(self) -> list[Target]:
        try:
            nodes = await list_nodes(self._redis, self._keys)
        except RedisUnavailable:
            return []
        return [Target.of(node.address) for node in nodes if node.alive and not node.draining]
