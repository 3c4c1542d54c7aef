"""Who keeps an app up, what ends for good, and who gets the next slot; in a real Redis."""

import itertools
import secrets
import time
from dataclasses import replace
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import InvalidToken
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.starting import page_user
from hypha_cluster.features.launcher.tidying import Tidying
from hypha_cluster.identity.access import Identity, Origin, Workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry import instances as registry
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import HELD, Scale, State, Wanted, files_ticket
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import Keep, KeptApps
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.workspaces import Workspaces
from tests.app_rig import SEALS, ticket_of

ANN = Identity("ann", is_anonymous=False, email="a@x.org", origin=Origin("anns", 5.0))
BOB = Identity("bob", is_anonymous=False, email="b@x.org", origin=Origin("bobs", 5.0))


@pytest.fixture
def instances(redis_client: RedisClient, keys: Keys) -> Instances:
    return Instances(redis_client, keys)


@pytest.fixture
def pages(redis_client: RedisClient, keys: Keys, instances: Instances) -> InstancePages:
    return InstancePages(redis_client, keys, SEALS, instances)


@pytest.fixture
def kept(redis_client: RedisClient, keys: Keys) -> KeptApps:
    return KeptApps(redis_client, keys, SEALS)


@pytest.fixture
def apps(redis_client: RedisClient, keys: Keys) -> Apps:
    return Apps(redis_client, keys)


def wanted(who: Identity, client: str, workspace: str = "lab", app: str = "adder") -> Wanted:
    user = page_user(who, workspace)
    return Wanted(workspace, client, app, "Adder", user, "default", 60.0, scale=Scale(least=1))


def an_app(key: str, workspace: str = "lab", **config: Any) -> App:
    return App(workspace, key, {"name": key, **config}, {}, "ann", 1, {})


# Who keeps an app up.


async def kept_by(redis: Redis, keys: Keys, app: str = "lab/adder") -> str | None:
    """Whose child the next page of an app that is kept up will be."""
    user: Any = await redis.hget(keys.kept_app(app), "user")
    return SEALS.open(user, "lab").parent if user else None


async def test_whoever_starts_what_is_kept_up_does_not_take_it_over(
    instances: Instances, kept: KeptApps, apps: Apps, redis: Redis, keys: Keys
) -> None:
    keeper, daemon = Keeper(kept, apps, instances), an_app("adder", daemon=True)
    await keeper.keep(daemon, ANN)

    await keeper.keep(daemon, BOB, Keep.NEW)

    assert await kept_by(redis, keys) == "ann"
    await keeper.release(daemon)
    await keeper.keep(daemon, BOB, Keep.NEW)
    assert await kept_by(redis, keys) == "bob"


async def test_whoever_changes_what_is_stopped_does_not_start_it(
    instances: Instances, kept: KeptApps, apps: Apps, redis: Redis, keys: Keys
) -> None:
    keeper, daemon = Keeper(kept, apps, instances), an_app("adder", daemon=True)

    await keeper.keep(daemon, BOB, Keep.KEPT)

    assert await kept_by(redis, keys) is None
    assert await kept.see_to() == []
    await keeper.keep(daemon, ANN)
    await keeper.keep(daemon, BOB, Keep.KEPT)
    assert await kept_by(redis, keys) == "bob"  # whose code it is by now
    await keeper.keep(an_app("adder"), BOB, Keep.KEPT)  # it is no daemon any more
    assert await kept_by(redis, keys) is None


# What ends with a workspace.


async def test_an_instance_that_is_over_is_no_page_that_is_left(
    redis_client: RedisClient, redis: Redis, keys: Keys, instances: Instances,
    pages: InstancePages, kept: KeptApps, apps: Apps,
) -> None:  # fmt: skip
    workspaces = Workspaces(redis_client, keys)
    await workspaces.create(Workspace("lab"))
    await pages.ask(wanted(ANN, "worker"), shared=False)
    await instances.end("lab/worker")
    await pages.ask(wanted(ANN, "other"), shared=False)
    await redis.sadd(keys.clients("lab"), "worker")  # by now a program of a user's
    tidying = Tidying(apps, instances, workspaces, kept, redis_client, keys)

    await tidying.end_left_instances()

    assert (await instances.get("lab/other")).state is State.PENDING
    await redis.srem(keys.clients("lab"), "worker")
    await redis.sadd(keys.clients("lab"), "other")
    await tidying.end_left_instances()
    assert (await instances.get("lab/other")).state is State.STOPPED


# Whose page may never come in.


async def test_a_page_that_may_never_come_in_ends_its_instance_and_the_keeping_up(
    instances: Instances, pages: InstancePages, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    await kept.keep(wanted(ANN, ""))
    (address,) = await kept.see_to()
    await instances.see_to("r", 1)

    await pages.bar(address, "Ann is shut out.")

    barred = await instances.get(address)
    assert (barred.state, barred.then, barred.reason) == (
        State.STOPPING,
        State.FAILED,
        "Ann is shut out.",
    )
    assert await redis.zcard(keys.kept_apps()) == 0
    await pages.bar("lab/nobody", "It is not there.")


async def test_another_ones_keeping_up_goes_on(
    instances: Instances, pages: InstancePages, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    await kept.keep(wanted(ANN, ""))
    await pages.ask(wanted(BOB, "mine"), shared=False)
    await instances.see_to("r", 1)

    await pages.bar("lab/mine", "Bob is shut out.")

    assert await kept_by(redis, keys) == "ann"
    assert (await instances.get("lab/mine")).then is State.FAILED


async def test_who_has_no_ticket_ends_nothing(instances: Instances, pages: InstancePages) -> None:
    await pages.ask(wanted(ANN, "a"), shared=False)
    await instances.see_to("r", 1)

    with pytest.raises(InvalidToken, match="This ticket is for the page of an app"):
        await pages.admit("lab/a", "hypha-app-guessed")

    assert (await instances.get("lab/a")).state is State.STARTING


async def test_a_page_whose_launchers_token_is_over_ends_its_instance(
    instances: Instances, pages: InstancePages, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    child = Identity("c", parent="ann", scopes=("lab",), expires_at=time.time() - 1)
    await kept.keep(wanted(child, ""))
    (address,) = await kept.see_to()
    ticket = await ticket_of(instances, address)

    with pytest.raises(InvalidToken):
        await pages.admit(address, ticket)

    assert (await instances.get(address)).reason == (
        "The token by which the app was started has expired."
    )
    assert await redis.zcard(keys.kept_apps()) == 0


# What runners know, and what they do not.


async def start(instances: Instances, pages: InstancePages, client: str = "a") -> str:
    """An instance that runs."""
    address, _ = await pages.ask(wanted(ANN, client), shared=False)
    await instances.see_to("r", 1)
    await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)
    return address


async def resurrect(redis: Redis, keys: Keys, address: str, files: str = "") -> str:
    """Write the record of an instance as somebody could who has a runner's user."""
    ticket = f"hypha-app-{secrets.token_hex(4)}"
    record: dict[Any, Any] = {
        **{"state": "starting", "epoch": 1, "app": "adder", "name": "Adder", "files": files},
        **{"wait_for": "default", "timeout": 60, "changed": int(time.time() * 1000)},
        "ticket": registry.ticket_digest(ticket),
    }
    await redis.hset(keys.instance(address), mapping=record)
    return ticket


@pytest.mark.parametrize("how", ["stop", "idle", "bar", "forget", "never"])
async def test_nobody_comes_in_as_what_is_not_wanted(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys, how: str
) -> None:
    address = await start(instances, pages)
    record = await instances.get(address)
    assert await pages.opens(files_ticket(record, 3), "lab/adder") == 3
    if how == "stop":
        await instances.end(address)
    elif how == "bar":
        await pages.bar(address, "Ann is shut out.")
    elif how == "forget":
        await instances.forget(address)
    elif how == "idle":  # as nobody has called it
        await instances.change(address, HELD, State.STOPPING, then=str(State.STOPPED))
    else:
        address = "lab/made-up"

    ticket = await resurrect(redis, keys, address, record.files)

    with pytest.raises(InvalidToken, match="This ticket is for the page"):
        await pages.admit(address, ticket)
    made_up = replace(record, address=address)
    assert await pages.opens(files_ticket(made_up, 1), "lab/adder") is None


@pytest.mark.parametrize(
    "ticket",
    ["", "~", ".", "..", "x.1.a", "{files}.0.a", "{files}.-1.a", "{files}.1", "{files}.1.b",
     "{files}.1234567890123.a", ".1.a", "{files}.x.a", "\udce4.1.a"],
)  # fmt: skip
async def test_other_tickets_open_no_files(
    instances: Instances, pages: InstancePages, ticket: str
) -> None:
    record = await instances.get(await start(instances, pages))

    assert await pages.opens(ticket.format(files=record.files), "lab/adder") is None


async def test_a_ticket_of_a_page_is_for_the_files_of_its_app(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    record = await instances.get(await start(instances, pages))
    ticket = files_ticket(record, 2)

    assert await pages.opens(ticket, "lab/adder") == 2
    for app in ("lab/another", "ann/adder"):
        assert await pages.opens(ticket, app) is None
    await redis.hset(keys.instance(record.address), "app", "another")  # which runners can
    assert await pages.opens(ticket, "lab/another") is None


async def test_a_runner_needs_no_right_to_the_pages(
    redis_client: RedisClient, redis: Redis, keys: Keys, instances: Instances, pages: InstancePages
) -> None:
    """It reads no user, and what it changes leaves the page as it is."""
    runner = Instances(redis_client, keys, with_pages=False)
    address = await start(instances, pages)
    page = await redis.hgetall(keys.page(address))
    assert b"user" in page
    assert b"user" not in await redis.hgetall(keys.instance(address))

    await runner.change(address, HELD, State.FAILED, due=0, epoch=1)
    await runner.see_to("other", 1)

    assert await redis.hgetall(keys.page(address)) == page
    await instances.see_to()  # as gateways do
    assert await redis.hgetall(keys.page(address)) == {}


# Who gets the next slot.


_NUMBERS: Final = itertools.count()


async def ask_for(pages: InstancePages, who: Identity, many: int, workspace: str = "") -> list[str]:
    place = workspace or who.id
    asked = [wanted(who, f"c{next(_NUMBERS):04}", place) for _ in range(many)]
    return [(await pages.ask(each, shared=False))[0] for each in asked]


async def test_slots_go_to_the_users_who_have_the_fewest(
    instances: Instances, pages: InstancePages
) -> None:
    first = await ask_for(pages, ANN, 4)
    assert sorted(await instances.see_to("r1", 4)) == sorted(first)
    await ask_for(pages, ANN, 5)
    more = await ask_for(pages, ANN, 5, "anns-lab")
    (bobs, second) = await ask_for(pages, BOB, 2)

    assert await instances.see_to("r2", 1) == [bobs]
    assert await instances.see_to("r2", 1) == [second]
    taken = await instances.see_to("r2", 2)
    assert len(taken) == 2
    assert {each.partition("/")[0] for each in taken} == {"ann", "anns-lab"}
    assert taken[1] == more[0]


async def test_the_slots_of_a_runner_are_shared_out(
    instances: Instances, pages: InstancePages
) -> None:
    await ask_for(pages, ANN, 20)
    bobs = await ask_for(pages, BOB, 3)

    taken = await instances.see_to("r", 8)

    assert len(taken) == 8
    assert [each for each in taken if each in bobs] == bobs
    for address in taken:
        assert (await instances.get(address)).epoch == 1


async def test_no_workspace_hides_what_another_one_has_lost(
    instances: Instances,
    pages: InstancePages,
    redis: Redis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_LOOKED_AT", 4)
    (lost,) = await ask_for(pages, BOB, 1)
    await instances.see_to("gone", 1)
    await ask_for(pages, ANN, 20)
    await redis.zadd(keys.instances(), {lost: time.time() * 1000})  # later than all of Ann's

    await instances.see_to()

    assert (await instances.get(lost)).state is State.PENDING
