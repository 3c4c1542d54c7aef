"""Who hears of what an instance logs, and for how long."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.launcher.following import Following
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.keys import Keys
from hypha_cluster.supervision import Supervisor


class Heard:
    """The channels that a gateway hears; as its subscriptions, what it hears already is there."""

    def __init__(self) -> None:
        self.channels = set[bytes]()

    async def join(self, channel: bytes) -> None:
        self.channels.add(channel)

    async def leave(self, channel: bytes) -> None:
        self.channels.discard(channel)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def following(heard: Heard) -> Following:
    about = {"instances": None, "servers": None, "keys": Keys("h"), "node": "n"}
    grounds = SimpleNamespace(**about, supervisor=Supervisor())
    made = Following(cast(InstanceLogs, None), cast(Grounds, grounds))
    made._subscriptions = cast(Any, heard)
    return made


async def test_a_channel_is_heard_as_long_as_somebody_follows(
    following: Following, heard: Heard
) -> None:
    async with following._told("ann/a"):
        async with following._told("ann/a"):
            pass
        await asyncio.sleep(0)
        assert len(heard.channels) == 1

    await following._leaving.settled()
    assert heard.channels == set()


async def test_whoever_comes_as_the_last_one_goes_hears_what_is_logged(
    following: Following, heard: Heard
) -> None:
    async with following._told("ann/a"):
        pass
    async with following._told("ann/a") as news:
        await following._leaving.settled()

        (channel,) = heard.channels
        following._tell(channel)

        assert news.is_set()
