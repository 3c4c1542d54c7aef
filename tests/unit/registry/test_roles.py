"""A role is one gateway's, until that one is heard of no more or gives it up."""

import pytest

from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.roles import LEASE, Role
from tests.fake_redis import FakeRedis


@pytest.fixture
def role(fake: FakeRedis, keys: Keys) -> Role:
    return Role(fake.client, keys, "work")


async def test_a_role_is_taken_for_a_while(fake: FakeRedis, role: Role) -> None:
    assert await role.take()

    (words,) = fake.words("take_lease")
    assert words[0] == "p:role:work"
    assert words[3:] == (LEASE * 1000, 0)


async def test_the_role_of_another_gateway_is_not_taken(fake: FakeRedis, role: Role) -> None:
    fake.answers["take_lease"] = b"another"

    assert not await role.take()


@pytest.mark.parametrize(("answer", "is_ours"), [(1, True), (0, False), (-1, False)])
async def test_a_renewal_says_whether_it_is_still_ours(
    fake: FakeRedis, role: Role, answer: int, is_ours: bool
) -> None:
    fake.answers["renew_lease"] = answer

    assert await role.renew() is is_ours


async def test_it_is_given_up_by_who_took_it(fake: FakeRedis, role: Role, keys: Keys) -> None:
    await role.take()
    await role.give_up()
    await Role(fake.client, keys, "work").give_up()

    mine, others = (words[1] for words in fake.words("drop_lease"))
    assert mine == fake.words("take_lease")[0][1]
    assert others != mine
