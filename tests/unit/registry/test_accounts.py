"""Accounts in Redis: each name and each address once, however many add at once."""

import asyncio

import pytest

from hypha_cluster.errors import Conflict, InvalidToken, NotFound
from hypha_cluster.identity.access import Workspace
from hypha_cluster.identity.accounts import Account
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.accounts import Accounts, Invitation
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.workspaces import Workspaces

ANN = Account("ann", "Ann@example.org")


@pytest.fixture
def accounts(redis_client: RedisClient, redis_prefix: str) -> Accounts:
    return Accounts(redis_client, Keys(redis_prefix))


async def test_an_account_is_found_by_its_name_and_its_address(accounts: Accounts) -> None:
    await accounts.add(ANN)

    for word in ("ann", "Ann@example.org", "ann@EXAMPLE.org"):
        assert await accounts.find(word) == ANN
    for word in ("Ann", "bob", "bob@example.org", "example.org"):
        assert await accounts.find(word) is None
    assert await accounts.all() == [ANN]


async def test_a_name_and_an_address_are_one_accounts(accounts: Accounts) -> None:
    await accounts.add(ANN)

    with pytest.raises(Conflict, match="a user ann already"):
        await accounts.add(Account("ann", "other@example.org"))
    with pytest.raises(Conflict, match="e-mail address"):
        await accounts.add(Account("bob", "ann@example.org"))
    with pytest.raises(Conflict, match="e-mail address"):
        await accounts.add(Account("bob", "ann@example.org"))


async def test_of_many_that_want_a_name_at_once_one_gets_it(accounts: Accounts) -> None:
    outcomes = await asyncio.gather(
        *(accounts.add(Account("ann", f"{n}@example.org")) for n in range(20)),
        return_exceptions=True,
    )

    assert [outcome for outcome in outcomes if not isinstance(outcome, Conflict)] == [None]
    assert len(await accounts.all()) == 1


async def test_nobody_elses_workspace_becomes_an_accounts(
    accounts: Accounts, redis_client: RedisClient, redis_prefix: str
) -> None:
    workspaces = Workspaces(redis_client, Keys(redis_prefix))
    await workspaces.create(Workspace("ann", owners=["bob"]))

    with pytest.raises(Conflict, match="a workspace ann already"):
        await accounts.add(ANN)
    await accounts.add(Account("cat", "cat@example.org"))
    assert await workspaces.known_user("cat") == Account("cat", "cat@example.org").identity()


async def test_a_password_is_changed_and_nothing_else(accounts: Accounts) -> None:
    await accounts.add(ANN)

    await asyncio.gather(*(accounts.set_password("ann", f"hash {n}") for n in range(5)))

    account = await accounts.find("ann")
    assert account
    assert account.password.startswith("hash ")
    assert account.email == ANN.email
    with pytest.raises(NotFound, match="no user 'bob'"):
        await accounts.set_password("bob", "hash")


async def test_what_was_removed_is_free_again(accounts: Accounts) -> None:
    await accounts.add(ANN)

    await accounts.remove("ann")

    assert await accounts.all() == []
    assert await accounts.find("ann@example.org") is None
    with pytest.raises(NotFound):
        await accounts.remove("ann")
    await accounts.add(Account("bob", "ann@example.org"))


async def test_an_invitation_holds_once(accounts: Accounts) -> None:
    secret = await accounts.invite(Invitation("ann"))
    assert await accounts.invited(secret) == Invitation("ann")

    used = await asyncio.gather(*(accounts.use_up(secret) for _ in range(5)))

    assert sorted(used) == [False] * 4 + [True]
    for bad in (secret, "", "made up"):
        with pytest.raises(InvalidToken, match="invitation has been used"):
            await accounts.invited(bad)


async def test_the_first_admin_is_invited_until_there_is_an_account(
    accounts: Accounts, redis_client: RedisClient, redis_prefix: str
) -> None:
    told = Keys(redis_prefix).told("first invitation")
    secrets = await asyncio.gather(*(accounts.invite_first() for _ in range(4)))
    (secret,) = filter(None, secrets)
    assert await accounts.invited(secret) == Invitation("", ("admin",))

    await redis_client.delete(told)  # the gateways start anew, later
    assert await accounts.invite_first() == secret

    await accounts.use_up(secret)
    await redis_client.delete(told)
    again = await accounts.invite_first()
    assert again
    assert again != secret

    await accounts.add(ANN)
    await redis_client.delete(told)
    assert await accounts.invite_first() is None
