"""A connection is opened again whenever it is lost, and what is said of that is said once."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.lasting_link import PATIENCE, LastingLink
from tests.unit.links.net import A, FakeServers, Net, soon


class User:
    """Whose connection it is."""

    def __init__(self) -> None:
        self.opened = self.lost = 0
        self.replies: list[Any] = []
        self.refuses = False

    def on_reply(self, reply: Any) -> None:
        self.replies.append(reply)

    async def on_open(self) -> None:
        if self.refuses:
            raise RedisUnavailable("It is no good.")
        self.opened += 1

    def on_lost(self) -> None:
        self.lost += 1


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
async def link(net: Net, servers: FakeServers, user: User) -> AsyncIterator[LastingLink]:
    link = LastingLink(A, servers, "hypha-test", user)
    yield link
    await link.aclose()


async def test_it_is_opened_and_used(net: Net, link: LastingLink, user: User) -> None:
    await link.opened()

    link.send([("GET", "k")])
    await soon(lambda: user.replies)

    assert net.begun == [(A, "hypha-test", False)]
    assert (link.is_open, user.opened, user.replies) == (True, 1, [b"OK"])


async def test_a_lost_one_is_followed_by_another(
    net: Net, link: LastingLink, user: User, servers: FakeServers
) -> None:
    await link.opened()

    net.servers[A].link.close()
    await link.opened()

    assert (user.opened, user.lost) == (2, 1)
    assert servers.doubts == 1  # something else may be the master by now


async def test_a_server_that_is_away_is_told_once_and_when_it_is_back(
    net: Net, link: LastingLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await link.opened()
    net.servers[A].is_down = True
    net.servers[A].link.close()
    await soon(lambda: len(net.begun) > 10)

    net.servers[A].is_down = False
    await link.opened()

    assert caplog.messages == [
        "Redis at a:1 cannot be reached. It is tried again, for hypha-test.",
        "Redis at a:1 is there again, for hypha-test.",
    ]


async def test_one_that_is_no_good_is_not_kept(net: Net, link: LastingLink, user: User) -> None:
    await link.opened()
    user.refuses = True
    net.servers[A].link.close()
    await soon(lambda: len(net.servers[A].links) > 3)
    assert not any(each.is_open for each in net.servers[A].links[:-1])

    user.refuses = False
    await link.opened()

    assert link.is_open


async def test_a_server_that_answers_nothing_is_left(net: Net, link: LastingLink) -> None:
    await link.opened()
    net.servers[A].answers["GET"] = []
    net.servers[A].link.heard_at = time.monotonic() - 1
    link.send([("GET", "k")])

    link.drop_if_silent(time.monotonic())
    assert link.is_open
    link.drop_if_silent(time.monotonic() + PATIENCE + 1)

    await soon(lambda: len(net.servers[A].links) == 2)


async def test_a_server_that_is_asked_nothing_may_be_silent(link: LastingLink) -> None:
    await link.opened()

    link.drop_if_silent(time.monotonic() + 100)

    assert link.is_open


async def test_whoever_waits_in_vain_is_told_why(net: Net, user: User) -> None:
    net.servers[A].is_down = True
    link = LastingLink(A, FakeServers(timeout=0.05), "hypha-test", user)

    with pytest.raises(RedisUnavailable, match="cannot be reached"):
        await link.opened()

    await link.aclose()
