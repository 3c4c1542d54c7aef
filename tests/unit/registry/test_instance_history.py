"""What has become of instances, as the scripts that change them write it in a real Redis."""

import pytest
from redis.asyncio import Redis

from hypha_cluster.protocol.limits import APP_HISTORY
from hypha_cluster.registry.instance import HELD, State
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import let_lease_end, ticket_of, wanted
from tests.cluster.instance_history import Record


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_every_change_of_an_instance_is_known(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=True)
    ticket = await ticket_of(instances, address)
    await pages.admit(address, ticket)
    for _ in range(2):  # the second one renews the lease
        await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)
    await let_lease_end(redis, keys, address)
    await instances.see_to("s", 1)
    await instances.end(address)
    stopping = frozenset((State.STOPPING,))
    await instances.change(address, stopping, State.STOPPED, due=99, epoch=2, runner="")
    await pages.ask(wanted("a"), shared=True)
    await instances.end(address, because="it had to")

    steps = await instances.history(address)

    Record({address: steps}, {address: "adder"}, (), ()).check()
    assert [step[1:] for step in steps] == [
        ("", "pending", 0, "", ""),
        ("pending", "starting", 1, "r", ""),
        ("starting", "starting", 1, "r", "Its page has come in."),
        ("starting", "running", 1, "r", ""),
        ("running", "pending", 1, "r", "The runner r is lost."),
        ("pending", "starting", 2, "s", "The runner r is lost."),
        ("starting", "stopping", 2, "s", ""),
        ("stopping", "stopped", 2, "s", ""),
        ("stopped", "pending", 2, "", ""),
        ("pending", "failed", 2, "", "it had to"),
    ]
    await instances.forget(address)
    await instances.see_to()
    assert await instances.history(address) == []


async def test_of_what_has_become_of_an_instance_the_newest_is_known(
    instances: Instances,
    pages: InstancePages,
) -> None:
    for _ in range(APP_HISTORY // 2 + 10):
        await pages.ask(wanted("a"), shared=True)
        await instances.end("ann/a")

    assert len(await instances.history("ann/a")) == APP_HISTORY
