"""What tests of server apps begin with: who launches them, and what there is in Redis then."""

from typing import Any, Final

from redis.asyncio import Redis

from hypha_cluster.features.launcher.starting import page_user
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.registry.apps import App, AppFile
from hypha_cluster.registry.instance import Wanted
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys

ANN: Final = Identity("ann", is_anonymous=False, email="a@x.org", origin=Origin("t", 5.0, ("s",)))
PAGE: Final = page_user(ANN, "ann")
SEALS: Final = PageSeals("what gateways share")


def wanted(client: str, app: str = "adder", **more: Any) -> Wanted:
    return Wanted("ann", client, app, "Adder", PAGE, "default", 60.0, **more)


def an_app(key: str, size: int, **manifest: Any) -> App:
    files = {"index.html": AppFile(size, "")}
    return App("ann", key, {"name": key, **manifest}, files, "ann", 1, {})


async def let_lease_end(redis: Redis, keys: Keys, address: str) -> None:
    """As if its time had come."""
    await redis.zadd(keys.instances(), {address: 1})


async def ticket_of(instances: Instances, address: str, runner: str = "r") -> str:
    """A runner takes what waits for one; what the page brings that it is about to open."""
    await instances.see_to(runner, 1)
    ticket = await instances.issue_ticket(await instances.get(address))
    assert ticket
    return ticket
