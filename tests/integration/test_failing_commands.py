"""Whatever command of a change in the registry fails, the registry comes to what it should be."""

import itertools
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry import deadlines
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.mailboxes import Mailboxes
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.registry.services import RecentlyFound, Services
from hypha_cluster.registry.unheard import Unheard
from tests.failing_commands import FailingCommands, Failure, Killed, failing_redis

ANN = Identity("ann")
LAB = Workspace("lab", owners=["ann"])
ABOUT: dict[str, Any] = {"address": "http://x", "started": 1, "version": "1", "draining": False}
MOST = 60  # commands of one operation
NEVER = 1_000_000


class Gateway:
    """What a gateway has of the registry; `left` are the addresses that it has announced."""

    def __init__(self, name: str, redis: RedisClient, keys: Keys) -> None:
        self.name = name
        self.left: list[str] = []
        self.public = PublicListing(redis, keys)
        self.registry = ClientRegistry(redis, keys, self.public, self.left.append)
        self.services = Services(redis, keys, self.public, RecentlyFound())
        self.mailboxes = Mailboxes(redis, keys, lifetime=60.0)
        self.nodes = Nodes(redis, keys, ttl=60.0, interval=1.0)
        unheard = Unheard(redis, keys)
        self.reaper = Reaper(redis, keys, self.registry, self.nodes, unheard, grace=0.0)
        self.patient = Reaper(redis, keys, self.registry, self.nodes, unheard, grace=600.0)

    def attachment(self, number: int = 1) -> Attachment:
        return Attachment("lab/me", "me", LAB, ANN, f"{self.name}#{number}", self.name, 0.0)

    async def claim(self, number: int = 1, mode: ClaimMode = ClaimMode.NEW) -> Attachment:
        attachment = self.attachment(number)
        await self.registry.noted(await self.registry.claim(attachment, mode))
        return attachment

    async def reap(self) -> None:
        for _ in range(2):
            await self.reaper.clean_up(self.name)
            await self.reaper.remove_overdue()
            await self.mailboxes.give_up_calls()


def info(visibility: str) -> str:
    return json.dumps({"name": "s", "config": {"visibility": visibility}})


class World:
    """A gateway of which one command fails, others that work, and what there is in Redis."""

    def __init__(self, working: RedisClient, broken: RedisClient, redis: Redis, keys: Keys) -> None:
        self.failing = Gateway("failing", broken, keys)
        self.same = Gateway("failing", working, keys)  # the one that fails, when all is well
        self.other = Gateway("other", working, keys)
        self.redis = redis
        self.keys = keys

    async def start(self) -> None:
        for gateway in (self.same, self.other):
            await gateway.nodes.take_lease(gateway.name, ABOUT)

    async def crash(self) -> None:
        """Have the lease of the gateway that fails run out."""
        await self.redis.delete(self.keys.node("failing"))
        await self.redis.zadd(self.keys.leases(), {"failing": int(time.time() * 1000) - 1})

    async def remains(self) -> list[bytes]:
        """All keys but leases, and the notes of who has just left, which expire."""
        keys = self.keys
        leases = {keys.node("failing"), keys.node("other"), keys.leases()}
        found = [key async for key in self.redis.scan_iter(keys.everything())]
        return [key for key in found if key.decode() not in leases and not key.endswith(b":left")]

    async def listed(self) -> set[str]:
        """Public services, as the listing has them."""
        return {info["id"] for info in await self.other.public.all()}

    async def names(self) -> set[str]:
        """Names of public services, as the listing has them."""
        names = await self.redis.smembers(self.keys.public_names())
        return {str(name, "ascii") if isinstance(name, bytes) else name for name in names}

    async def public(self) -> set[str]:
        """Public services, as their workspace has them."""
        infos = await self.other.services.of_workspace("lab")
        return {info["id"] for info in infos if info["config"]["visibility"] == "public"}


Step = Callable[[World], Awaitable[Any]]
Failing = AbstractAsyncContextManager[tuple[RedisClient, FailingCommands]]


class Trials:
    """Does an operation again and again, each time with another command that fails."""

    def __init__(self, url: str, redis: Redis, failure: Failure, *, is_single: bool) -> None:
        self._url = url
        self._redis = redis
        self._failure = failure
        self._is_single = is_single

    async def run(
        self, prepare: Step, operate: Step, on_killed: Step, check: Step, retry: Step | None = None
    ) -> None:
        """retry: what the gateway does when Redis was not there; by default the same again."""
        for number in itertools.count(1):
            assert number < MOST
            async with (
                self._redis_with(NEVER, Failure.KILLED) as (working, _),
                self._redis_with(number, self._failure) as (broken, commands),
            ):
                keys = Keys(f"test-{secrets.token_hex(4)}")
                world = World(working, broken, self._redis, keys)
                await world.start()
                await prepare(world)
                await self._once(world, operate, on_killed, retry or operate)
                await check(world)
                if not commands.has_failed:
                    return

    def _redis_with(self, number: int, failure: Failure) -> Failing:
        return failing_redis(self._url, number, failure, is_single=self._is_single)

    async def _once(self, world: World, operate: Step, on_killed: Step, retry: Step) -> None:
        try:
            await operate(world)
        except RedisUnavailable:
            await retry(world)
        except Killed:
            await world.crash()
            await on_killed(world)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody wait for what another gateway has taken in hand."""
    monkeypatch.setattr(deadlines, "HELD", 0.0)


@pytest.fixture(params=[True, False], ids=["server", "cluster"])
def is_single(request: pytest.FixtureRequest) -> bool:
    """Whether Redis is one server, where one command does what a cluster needs several for."""
    return bool(request.param)


@pytest.fixture(params=Failure, ids=lambda failure: failure.name.lower())
def trials(
    valkey_url: str, redis: Redis, is_single: bool, request: pytest.FixtureRequest
) -> Trials:
    return Trials(valkey_url, redis, request.param, is_single=is_single)


async def attach(world: World) -> None:
    await world.same.claim()


async def offer(world: World) -> None:
    attachment = await world.same.claim()
    await world.same.services.register(
        attachment, {"open": info("public"), "shut": info("protected"), "odd": info("public")}
    )


async def reap(world: World) -> None:
    await world.other.reap()


async def resume(world: World) -> None:
    await world.other.claim(mode=ClaimMode.RESUME)


async def suspend(world: World) -> None:
    attachment = world.failing.attachment()
    await world.failing.registry.suspend(attachment.address, holder=attachment.holder, grace=0)


async def nothing(world: World) -> None:
    """Leave all as it is."""


async def test_a_client_that_left_leaves_nothing_and_all_are_told(trials: Trials) -> None:
    async def leave(world: World) -> None:
        await world.failing.registry.leave("lab/me", world.failing.attachment().holder)

    async def check(world: World) -> None:
        assert await world.remains() == []
        assert set(world.failing.left + world.other.left) == {"lab/me"}

    await trials.run(offer, leave, reap, check)


async def test_a_client_that_did_not_come_back_leaves_nothing_and_all_are_told(
    trials: Trials,
) -> None:
    async def go_away(world: World) -> None:
        await offer(world)
        attachment = world.same.attachment()
        await world.same.registry.suspend("lab/me", holder=attachment.holder, grace=0)

    async def check(world: World) -> None:
        assert await world.remains() == []
        assert set(world.failing.left + world.other.left) == {"lab/me"}

    await trials.run(go_away, lambda world: world.failing.reap(), reap, check)


async def test_a_client_that_could_not_attach_leaves_nothing(trials: Trials) -> None:
    async def claim(world: World) -> None:
        await world.failing.claim()

    async def check(world: World) -> None:
        if await world.redis.hget(world.keys.client("lab/me"), "state") == b"online":
            members = await world.redis.smembers(world.keys.node_clients("failing"))
            assert len(members) == 1
            assert await world.redis.sismember(world.keys.workspaces(), "lab")
            assert await world.other.registry.user_clients("ann") == ["lab/me"]
            await world.other.registry.leave("lab/me", world.failing.attachment().holder)
        await world.other.reap()
        assert await world.remains() == []

    await trials.run(nothing, claim, reap, check, retry=suspend)


async def test_a_client_that_came_back_is_nowhere_else(trials: Trials) -> None:
    async def go_away(world: World) -> None:
        attachment = await world.other.claim()
        await world.other.services.register(attachment, {"open": info("public")})
        await world.other.registry.suspend("lab/me", holder=attachment.holder, grace=600)

    async def come_back(world: World) -> None:
        await world.failing.claim(number=2, mode=ClaimMode.RESUME)

    async def suspend_again(world: World) -> None:
        holder = world.failing.attachment(2).holder
        await world.failing.registry.suspend("lab/me", holder=holder, grace=0)

    async def check(world: World) -> None:
        assert await world.listed() == await world.public() == {"lab/me:open"}
        if await world.redis.hget(world.keys.client("lab/me"), "state") == b"online":
            assert await world.redis.zscore(world.keys.suspended(), "lab/me") is None
            assert not await world.redis.exists(world.keys.node_clients("other"))
            await world.other.registry.leave("lab/me", world.failing.attachment(2).holder)
        else:
            assert await world.redis.zscore(world.keys.suspended(), "lab/me") is not None

    async def give_up(world: World) -> None:
        await world.other.patient.clean_up("other")

    await trials.run(go_away, come_back, give_up, check, retry=suspend_again)


async def test_a_place_that_a_new_token_takes_is_nobody_elses(trials: Trials) -> None:
    """Another token of the same maker comes, as that of a program that was started again."""

    async def break_off(world: World) -> None:
        attachment = world.same.attachment()
        child = attachment._replace(identity=Identity("first", parent="ann"))
        await world.same.registry.noted(await world.same.registry.claim(child, ClaimMode.NEW))
        await world.same.registry.suspend("lab/me", holder=child.holder, grace=600)

    async def come_again(world: World) -> None:
        child = world.failing.attachment(2)._replace(identity=Identity("second", parent="ann"))
        claim = await world.failing.registry.claim(child, ClaimMode.NEW)
        await world.failing.registry.noted(claim)

    async def give_up(world: World) -> None:
        await world.failing.registry.suspend(
            "lab/me", holder=world.failing.attachment(2).holder, grace=0
        )

    async def check(world: World) -> None:
        for number in (1, 2):
            owner = world.failing.attachment(number).holder
            await world.other.registry.leave("lab/me", owner)
        await world.other.reap()
        assert await world.remains() == []

    await trials.run(break_off, come_again, reap, check, retry=give_up)


async def test_the_listing_is_what_was_registered(trials: Trials) -> None:
    async def change(world: World) -> None:
        await world.failing.services.register(
            world.failing.attachment(),
            {"open": info("protected"), "shut": info("public")},
            remove=["odd"],
        )

    async def check(world: World) -> None:
        assert await world.listed() == await world.public()
        names = await world.names()
        assert {f"lab/me:{name}" for name in names} == await world.listed()

    await trials.run(offer, change, resume, check)


async def test_who_registered_in_vain_leaves_nothing(trials: Trials) -> None:
    async def change(world: World) -> None:
        await world.failing.services.register(
            world.failing.attachment(),
            {"open": info("protected"), "shut": info("public")},
            remove=["odd"],
        )

    async def check(world: World) -> None:
        for gateway in (world.same, world.other):
            await gateway.registry.leave("lab/me", world.failing.attachment().holder)
        await world.other.reap()
        assert await world.remains() == []

    await trials.run(offer, change, reap, check, retry=nothing)


async def test_a_suspension_ends_whatever_failed(trials: Trials) -> None:
    async def check(world: World) -> None:
        await world.other.reap()
        assert await world.remains() == []

    await trials.run(offer, suspend, reap, check)
