"""Whatever job of a node dies, the node is ready again within seconds, and serves who is there."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hypha_cluster.clients.life import ClientLife
from hypha_cluster.clients.presence import Presence
from hypha_cluster.config import Config
from hypha_cluster.links.lasting_link import LastingLink
from hypha_cluster.links.shard import Shard
from hypha_cluster.node import Node
from hypha_cluster.registry.mailboxes import Mailboxes
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.relay.listener import RedisListener
from tests.gateways import SECOND
from tests.in_process import Flaw, served
from tests.raw_client import RawClient

PATIENCE = 15 * SECOND


def drop_links(node: Node) -> None:
    for link in LINKS:
        link.drop()


LINKS: list[LastingLink] = []


def nothing(node: Node) -> None:
    """The job comes to the flaw by itself."""


# Job → where it fails, and what makes it go there.
JOBS: dict[str, tuple[Flaw, Callable[[Node], None]]] = {
    "lease": (Flaw(Nodes, "renew_lease"), nothing),
    "lease, as it checks": (Flaw(Presence, "are_known"), nothing),
    "reaper": (Flaw(Reaper, "clean_up"), nothing),
    "overdue": (Flaw(Reaper, "remove_overdue"), nothing),
    "mail": (Flaw(Mailboxes, "give_up_calls"), nothing),
    "untold": (Flaw(Presence, "tell_again"), nothing),
    "unheard": (Flaw(Reaper, "suspend_unheard"), nothing),
    "reassertion": (Flaw(ClientLife, "reassert"), drop_links),
    "bus": (Flaw(RedisListener, "_catch_up"), drop_links),
    "link": (Flaw(Shard, "on_open"), drop_links),
}


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110  (a probe is asked, as a balancer does)
            await asyncio.sleep(0.02)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[LastingLink]:
    """All links of the node."""
    LINKS.clear()
    sound = LastingLink.__init__

    def noting(self: LastingLink, *args: Any) -> None:
        LINKS.append(self)
        sound(self, *args)

    monkeypatch.setattr(LastingLink, "__init__", noting)
    return LINKS


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("job", JOBS)
async def test_a_node_of_which_a_job_dies_is_ready_again_and_serves(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    flaw, trigger = JOBS[job]
    config = Config(redis_url=valkey_url, redis_prefix=redis_prefix, host="127.0.0.1", port=0)
    async with served(config) as (url, node), await RawClient.connect(url) as provider:
        await provider.offer("mirror", "public", echo=lambda value: value)

        flaw.put_into(monkeypatch)
        trigger(node)
        await until(lambda: flaw.has_failed)
        await until(lambda: node.unready_because() == [])

        assert node.dead_because() == []
        failures = dict(node.readings()["task_failures"]())  # type: ignore[arg-type]  # a mapping
        assert failures == {job.partition(",")[0]: 1}
        async with await RawClient.connect(url) as caller:
            assert await caller.call(provider.address, "services.mirror.echo", 5) == 5
