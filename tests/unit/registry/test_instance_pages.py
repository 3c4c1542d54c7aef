"""Instances are asked for, and their pages come in, in a real Redis, as gateways let them."""

import asyncio
import secrets
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import Conflict, InvalidToken, TooMany
from hypha_cluster.features.launcher.starting import page_user
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.protocol.limits import APP_INSTANCES
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.instance import State
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import ANN, PAGE, let_lease_end, ticket_of, wanted


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_who_asks_for_a_shared_one_gets_the_one_that_is_there(pages: InstancePages) -> None:
    asked = await asyncio.gather(
        *(pages.ask(wanted(f"c{number}"), shared=True) for number in range(20))
    )

    addresses = {address for address, _ in asked}
    assert len(addresses) == 1
    assert [is_new for _, is_new in asked].count(True) == 1
    other, is_new = await pages.ask(wanted("mine"), shared=False)
    assert (other, is_new) == ("ann/mine", True)
    assert (await pages.ask(wanted("x", "another"), shared=True)) == ("ann/x", True)


async def test_a_shared_one_that_is_over_is_replaced(
    instances: Instances, pages: InstancePages
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=True)
    await instances.end(address, because="it had to")

    assert await pages.ask(wanted("b"), shared=True) == ("ann/b", True)
    failed = await instances.get(address)
    assert (failed.state, failed.reason) == (State.FAILED, "it had to")


async def test_a_client_id_is_taken_once(pages: InstancePages, redis: Redis, keys: Keys) -> None:
    await pages.ask(wanted("a"), shared=False)
    await redis.hset(keys.client("ann/b"), "owner", "somebody")

    for client in ("a", "b"):
        with pytest.raises(Conflict, match=f"A client '{client}' is there already"):
            await pages.ask(wanted(client), shared=False)


async def test_a_workspace_has_so_many_instances(
    instances: Instances, pages: InstancePages
) -> None:
    for number in range(APP_INSTANCES):
        await pages.ask(wanted(f"c{number}"), shared=False)

    with pytest.raises(TooMany, match="stop one of ann first"):
        await pages.ask(wanted("more"), shared=False)
    await instances.end("ann/c0")
    assert await pages.ask(wanted("more"), shared=False) == ("ann/more", True)


async def test_who_asks_again_after_the_start_gets_the_same(
    instances: Instances, pages: InstancePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "this call")
    asked = await pages.ask(wanted("a"), shared=False)
    monkeypatch.undo()
    await instances.see_to("r", 1)
    assert await instances.issue_ticket(await instances.get("ann/a"))

    monkeypatch.setattr(secrets, "token_hex", lambda _: "this call")
    assert await pages.ask(wanted("a"), shared=False) == asked


async def test_a_ticket_is_for_one_page_of_one_epoch(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    await instances.see_to("first", 1)
    first = await instances.get(address)
    old = await instances.issue_ticket(first)
    assert old
    await let_lease_end(redis, keys, address)
    new = await ticket_of(instances, address, "second")

    assert await instances.issue_ticket(first) is None
    for wrong in (old, "hypha-app-", "hypha-app-\udc80"):
        with pytest.raises(InvalidToken, match="This ticket is for the page of an app"):
            await pages.admit(address, wrong)
    page = await pages.admit(address, new)
    assert (page, page.origin) == (PAGE, PAGE.origin)
    for where in (address, "ann/b"):
        with pytest.raises(InvalidToken):
            await pages.admit(where, new)


async def test_a_ticket_ends(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    ticket = await ticket_of(instances, address)
    await redis.hincrby(keys.instance(address), "changed", -60_001)

    with pytest.raises(InvalidToken):
        await pages.admit(address, ticket)


async def test_nobody_but_a_gateway_says_who_a_page_is(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    ticket = await ticket_of(instances, address)
    admin = Identity("admin", parent="root", scopes=("ann",), roles=("admin",))
    forged = PageSeals("what somebody else knows").seal(admin)

    await redis.hset(keys.page(address), "user", forged)

    with pytest.raises(InvalidToken, match="No gateway has said who this page is"):
        await pages.admit(address, ticket)


async def test_a_page_is_made_with_what_its_launcher_came_with() -> None:
    child = Identity("child", parent="ann", scopes=("ann",), roles=("admin",))

    assert (PAGE.parent, PAGE.scopes, PAGE.roles) == ("ann", ("ann",), ())
    assert PAGE.origin
    assert PAGE.origin.makers == ("s", "t")
    assert page_user(child, "ann").parent == "ann"
    assert page_user(child, "ann").roles == ()


async def test_a_page_of_a_child_ends_with_its_token(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    child = Identity("child", parent="ann", scopes=("ann",), expires_at=time.time() + 30)
    page = page_user(child, "ann")
    assert page.expires_at == child.expires_at
    over = page_user(replace(child, expires_at=time.time() - 1), "ann")
    for client, user, is_let_in in (("a", page, True), ("b", over, False)):
        await pages.ask(wanted(client)._replace(user=user), shared=False)
        ticket = await ticket_of(instances, f"ann/{client}")

        if is_let_in:
            assert (await pages.admit(f"ann/{client}", ticket)).expires_at == page.expires_at
        else:
            with pytest.raises(InvalidToken, match="The token by which the app was started"):
                await pages.admit(f"ann/{client}", ticket)


async def test_only_the_page_of_what_is_wanted_comes_again(
    instances: Instances, pages: InstancePages
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    page = Attachment(address, "a", Workspace("ann"), PAGE, "h", "n")
    stranger = page._replace(identity=ANN)

    assert await pages.comes_again(page)
    await instances.see_to("r", 1)
    assert await pages.comes_again(page)
    await instances.end(address)  # its runner closes the page now
    assert not await pages.comes_again(page)
    assert await pages.comes_again(stranger)
    assert not await pages.comes_again(page._replace(address="ann/forgotten"))


async def test_a_page_is_over_when_its_instance_is_or_another_one_has_its_address(
    instances: Instances,
    pages: InstancePages,
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    page = Attachment(address, "a", Workspace("ann"), PAGE, "h", "n")
    await instances.see_to("r", 1)
    assert not await pages.is_over(page)
    await instances.end(address)  # its runner closes the page now
    assert not await pages.is_over(page)
    await instances.change(address, frozenset((State.STOPPING,)), State.STOPPED)
    assert await pages.is_over(page)
    assert not await pages.is_over(page._replace(identity=ANN))

    next_user = page_user(ANN, "ann")
    await pages.ask(wanted("a")._replace(user=next_user), shared=False)

    assert await pages.is_over(page)
    assert not await pages.may_return(address, PAGE)
    assert await pages.may_return(address, next_user)
    assert not await pages.is_over(page._replace(identity=next_user))
    assert await pages.is_over(page._replace(address="ann/forgotten"))
