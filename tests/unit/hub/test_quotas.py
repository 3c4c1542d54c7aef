"""Who may use how much, and what they are told."""

from collections.abc import Sequence
from typing import cast

import pytest

from hypha_cluster.errors import TooMany
from hypha_cluster.hub.quotas import Quotas, Terms
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.links.client import RedisClient
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.limits import SERVICE_UNIT
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.rates import Rates
from hypha_cluster.registry.tallies import Tally
from hypha_cluster.relay.allowance import UNBOUNDED
from hypha_cluster.relay.connection import Share
from tests.fakes import FakeClock, FakeSocket
from tests.unit.relay.test_connection import connection

ANN = Identity("ann", is_anonymous=False)
CHILD = Identity("child", parent="ann")


def services(many: int) -> Infos:
    return dict.fromkeys(map(str, range(many)), "{}")


class Redisless:
    """Scripts can be named, and none is run."""


class Rig:
    """The limits of one gateway, whose clock is set by hand."""

    def __init__(
        self, redis: RedisClient | None = None, keys: Keys | None = None, **terms: int
    ) -> None:
        self.clock, self.counts = FakeClock(), Counts()
        self.terms = Terms(**terms)
        redis, keys = redis or cast(RedisClient, Redisless()), keys or Keys()
        tallies = (
            Tally(redis, keys, "connections", "node", self.terms.connections),
            Tally(redis, keys, "services", "node", self.terms.services),
        )
        rates = Rates(redis, keys, self.clock)
        self.quotas = Quotas(self.terms, rates, tallies, lambda host: host, self.counts, self.clock)

    def of(self, identity: Identity, host: str = "") -> Sequence[str]:
        return self.quotas.subjects(identity, self.quotas.sources({"client": (host, 1)}))


async def test_somebody_is_a_user_with_their_children_and_an_address() -> None:
    rig = Rig()

    assert rig.of(ANN, "192.0.2.1") == ["user ann", "address 192.0.2.1"]
    assert rig.of(CHILD) == ["user ann"]
    assert not rig.of(ROOT, "192.0.2.1")
    assert not rig.quotas.sources({"client": None})


async def test_who_connects_too_often_is_told_when_to_try_again() -> None:
    rig = Rig(admissions_a_minute=2)
    for _ in range(2):
        rig.quotas.admit(["address 192.0.2.1"])

    with pytest.raises(TooMany, match=r"this address may have 2 a minute.* again in 30 s") as error:
        rig.quotas.admit(["address 192.0.2.1"])

    assert error.value.seconds == 30
    rig.quotas.admit(["user ann"])
    rig.clock.now += 30
    rig.quotas.admit(["address 192.0.2.1"])
    assert rig.counts.limits_hit == {"admissions": 1}


async def test_who_has_too_many_connections_gets_another_when_one_is_over() -> None:
    rig = Rig(connections=2)
    for _ in range(2):
        rig.quotas.enter(rig.of(CHILD))

    with pytest.raises(TooMany, match="This user may have 2 connections"):
        rig.quotas.enter(rig.of(ANN))

    rig.quotas.leave(rig.of(CHILD))
    rig.quotas.enter(rig.of(ANN))


async def test_as_many_may_wait_to_come_back_as_may_be_connected() -> None:
    rig = Rig(connections=2)
    for _ in range(2):
        rig.quotas.enter(rig.of(ANN))

    for _ in range(2):
        rig.quotas.wait(rig.of(ANN))
    with pytest.raises(TooMany):
        rig.quotas.wait(rig.of(ANN))

    rig.quotas.leave(rig.of(ANN))
    rig.quotas.wait(rig.of(ANN))
    with pytest.raises(TooMany):
        rig.quotas.enter(rig.of(ANN))


async def test_services_are_counted_over_all_clients() -> None:
    rig = Rig(services=3)
    share = Share(rig.of(ANN))
    one, two = (connection(FakeSocket(), name, share=share) for name in ("one", "two"))
    rig.quotas.offer(one, services(2))
    rig.quotas.offer(two, services(1))

    with pytest.raises(TooMany, match="This user may have 3 services"):
        rig.quotas.offer(two, services(2))

    rig.quotas.offer(one, services(1))
    rig.quotas.offer(two, services(2))
    rig.quotas.gone(two)
    rig.quotas.offer(one, services(3))


async def test_a_large_service_counts_as_several() -> None:
    rig = Rig(services=5)
    one = connection(FakeSocket(), share=Share(rig.of(ANN)))
    large = {"large": "x" * 3 * SERVICE_UNIT}

    rig.quotas.offer(one, large | services(2))
    rig.quotas.offer(one, large | services(4))
    with pytest.raises(TooMany, match="This user may have 5 services of 1,024 bytes"):
        rig.quotas.offer(one, large | services(5))
    with pytest.raises(TooMany):
        rig.quotas.offer(one, {"larger": "x" * 6 * SERVICE_UNIT})
    rig.quotas.offer(one, {"smaller": "x" * 5 * SERVICE_UNIT})


async def test_services_count_for_as_long_as_their_client_has_its_place() -> None:
    """Redis keeps them: else somebody registers, breaks off, and comes again as another client."""
    rig = Rig(services=3, kept_for=180)
    share = Share(rig.of(ANN))
    one, two = (connection(FakeSocket(), name, share=share) for name in ("one", "two"))
    rig.quotas.offer(one, services(3))
    rig.quotas.gone(one, keeps_place=True)
    with pytest.raises(TooMany, match="This user may have 3 services"):
        rig.quotas.offer(two, services(1))

    rig.clock.now += 179
    rig.quotas.give_up_places()
    with pytest.raises(TooMany):
        rig.quotas.offer(two, services(1))
    rig.clock.now += 2
    rig.quotas.give_up_places()

    rig.quotas.offer(two, services(3))


async def test_services_count_once_when_their_client_is_back_here_or_elsewhere() -> None:
    rig = Rig(services=3, kept_for=180)
    old, new = (connection(FakeSocket(), "me", share=Share(rig.of(ANN))) for _ in range(2))
    rig.quotas.offer(old, services(3))
    rig.quotas.gone(old, keeps_place=True)

    rig.quotas.came_back(new.address)
    rig.quotas.offered(new, services(3))
    rig.quotas.offer(new, services(2))
    rig.quotas.offer(new, services(3))
    rig.clock.now += 181
    rig.quotas.give_up_places()

    with pytest.raises(TooMany):
        rig.quotas.offer(new, services(4))


async def test_what_is_sent_is_read_more_slowly_and_nothing_is_lost() -> None:
    rig = Rig(frames_a_second=100, traffic_a_second=1_000_000)

    assert rig.quotas.pace(["user ann"], 1_000, 16_000) == 0.0
    assert rig.quotas.pace(["user ann"], 100, 1_000) == pytest.approx(1.0)
    assert rig.quotas.pace(["user bob"], 1, 12_000_000) == pytest.approx(2.0)
    assert rig.counts.limits_hit == {"frames": 1, "traffic": 1}


async def test_a_large_array_in_chunks_does_not_meet_the_defaults() -> None:
    rig = Rig(frames_a_second=50_000, traffic_a_second=268_435_456)

    assert {rig.quotas.pace(["user ann"], 2, 1_024_000) for _ in range(100)} == {0.0}


async def test_who_has_put_too_much_into_mailboxes_is_told_when_to_go_on() -> None:
    rig = Rig(mail=1_000_000, kept_for=100)
    mine, others = rig.quotas.allowance(rig.of(CHILD)), rig.quotas.allowance(["user bob"])
    mine.spend(1_000_000)
    assert mine.refusal() is None
    mine.spend(50_000)

    refusal = mine.refusal()
    assert "This user has put too much" in str(refusal)
    assert "1,000,000 bytes in 100 s" in str(refusal)
    assert "try again in 5 s" in str(refusal)
    assert others.refusal() is None
    assert rig.quotas.allowance(rig.of(ANN)).refusal()
    assert rig.counts.limits_hit == {"mail": 1}

    rig.clock.now += 5.1
    assert mine.refusal() is None
    rig.quotas.give_up_places()
    assert mine.refusal() is None


async def test_mail_without_a_limit_or_of_the_hub_itself_is_not_counted() -> None:
    assert Rig().quotas.allowance(["user ann"]) is UNBOUNDED
    assert Rig(mail=1).quotas.allowance(()) is UNBOUNDED
    assert Rig(mail=1, kept_for=0).quotas.allowance(["user ann"]).refusal() is None


async def test_requests_have_a_limit_and_their_bodies_too() -> None:
    rig = Rig(requests_a_second=1, traffic_a_second=1_000)
    for _ in range(10):
        rig.quotas.request(["user ann"])
    rig.quotas.request(["user bob"], 20_000)  # there is nothing else of theirs
    with pytest.raises(TooMany, match=r"Too many traffic|may have 1,000 a second") as error:
        rig.quotas.request(["user bob"], 20_000)
    assert error.value.seconds == 20

    with pytest.raises(TooMany, match="1 a second"):
        rig.quotas.request(["user ann"])


async def test_nothing_is_counted_without_limits() -> None:
    rig = Rig()
    mine = connection(FakeSocket(), share=Share(rig.of(ANN, "192.0.2.1")))

    for _ in range(1_000):
        rig.quotas.admit(mine.subjects)
        rig.quotas.enter(mine.subjects)
        rig.quotas.request(mine.subjects, 10**9)
    rig.quotas.offer(mine, services(10**6))
    await rig.quotas.make_workspace(mine.subjects)

    assert rig.quotas.pace(mine.subjects, 10**6, 10**9) == 0.0
    assert not rig.counts.limits_hit
