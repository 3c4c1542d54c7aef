"""A frame is one command, and what Redis answers is told; the same with a Redis is in test_bus."""

import logging
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import script_hash
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import Request
from hypha_cluster.protocol.limits import KNOWN_TARGET, UNPUBLISHED
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import read_script
from hypha_cluster.relay import publisher as module
from hypha_cluster.relay.bus import Outcome
from hypha_cluster.relay.publisher import Limits, RedisPublisher

KEYS = Keys("t")
ME = "ann/me"
CHANNEL = KEYS.channel(ME).encode()
LIMITS = Limits(mailbox_size=1_000, mailbox_frames=5, mail_lifetime=60.0)


class FakeCommands:
    """Keeps what was to be sent; a test answers it."""

    def __init__(self, *about: Any, **more: Any) -> None:
        self.about, self.more = about, more
        self.sent: list[Request] = []

    def send(self, request: Request) -> None:
        self.sent.append(request)


class Scene:
    """A publisher, and what it is told."""

    def __init__(self, *, is_cluster: bool = False) -> None:
        self.recovery = Recovery()
        self.unheard: list[str] = []
        self.outcomes: list[Outcome] = []
        access = SimpleNamespace(timeout=2.0)
        servers = SimpleNamespace(is_cluster=is_cluster, access=access, slot=lambda channel: 7)
        self.publisher = RedisPublisher(
            cast(Servers, servers), KEYS, "here", LIMITS, self.recovery, self.unheard.append
        )
        self.commands = cast(FakeCommands, self.publisher._commands)

    def deliver(self, frame: bytes = b"frame", **how: bool) -> Request:
        self.publisher.deliver_or_mail(ME, frame, self.outcomes.append, **how)
        return self.commands.sent[-1]


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Commands", FakeCommands)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_frame_is_one_script_with_its_bounds_and_its_date(scene: Scene) -> None:
    request = scene.deliver()

    sha = script_hash(read_script("deliver")).encode()
    names = [name.encode() for name in (KEYS.client(ME), KEYS.mail(ME), KEYS.mail_size(ME))]
    head = (b"EVALSHA", sha, b"3", *names, CHANNEL)
    assert request.command == (*head, b"frame", b"1000", b"5", b"60000", b"0")
    assert (request.slot, request.is_dated, request.detour) == (7, True, None)
    assert 0 < request.deadline - time.monotonic() <= 2.0
    assert scene.commands.more == {"resends": False}  # else a frame would come twice


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ({"is_call": True}, (b"1000", b"5", b"60000", b"1")),
        ({"may_mail": False}, (b"0", b"0", b"60000", b"0")),
    ],
)
def test_a_call_says_so_and_who_may_mail_nothing_has_no_room(
    scene: Scene, how: dict[str, bool], end: tuple[bytes, ...]
) -> None:
    assert scene.deliver(b"frame", **how).command[-4:] == end


def test_while_a_slot_moves_its_subscribers_are_where_they_were() -> None:
    assert Scene(is_cluster=True).deliver().detour == (b"SPUBLISH", CHANNEL, b"frame")


@pytest.mark.parametrize(
    ("reply", "outcomes"),
    [
        (1, []),
        (2, []),
        (0, [Outcome.NOBODY]),
        (-1, [Outcome.MAILED]),
        (-2, [Outcome.MAILBOX_FULL]),
        (-4, [Outcome.AWAY]),
        (-5, [Outcome.MAILED]),
        (RedisUnavailable("away"), [Outcome.UNAVAILABLE]),
    ],
)
def test_what_nobody_has_taken_is_told(scene: Scene, reply: Any, outcomes: list[Outcome]) -> None:
    scene.deliver().answer(reply)

    assert scene.outcomes == outcomes


def test_a_client_that_should_have_heard_a_call_is_named(scene: Scene) -> None:
    scene.deliver().answer(-5)
    assert scene.unheard == []  # of what is no call, nobody waits for an answer

    scene.deliver(is_call=True).answer(-5)

    assert scene.unheard == [ME]
    assert scene.outcomes == [Outcome.MAILED] * 2


def test_a_refusal_of_redis_is_a_fault_and_logged(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        scene.deliver().answer(RuntimeError("NOSCRIPT"))

    assert scene.outcomes == [Outcome.UNAVAILABLE]
    assert "Redis refused a frame: NOSCRIPT" in caplog.text


def test_what_nobody_asks_about_is_told_nobody(scene: Scene) -> None:
    scene.publisher.deliver_or_mail(ME, b"frame")

    scene.commands.sent[-1].answer(0)


def test_more_than_redis_takes_is_not_kept(scene: Scene) -> None:
    first = scene.deliver(bytes(UNPUBLISHED + 1))

    scene.deliver(b"one more")
    assert (scene.outcomes, scene.commands.sent) == ([Outcome.UNAVAILABLE], [first])
    first.answer(1)
    scene.deliver(b"again")

    assert [each.command[-5] for each in scene.commands.sent[1:]] == [b"again"]


def test_a_target_is_remembered_where_that_takes_little_room(scene: Scene) -> None:
    long = "ann/" + "x" * KNOWN_TARGET

    assert scene.publisher._target(ME) is scene.publisher._target(ME)
    assert scene.publisher._target(long) == scene.publisher._target(long)
    assert scene.publisher._target(long) is not scene.publisher._target(long)


def test_a_node_and_all_nodes_have_channels_of_their_own(scene: Scene) -> None:
    scene.publisher.publish_to_node("there", b"frame", scene.outcomes.append)
    scene.publisher.announce(b"event")

    first, second = scene.commands.sent
    assert first.command == (b"SPUBLISH", KEYS.node_channel("there"), b"frame")
    assert second.command == (b"SPUBLISH", KEYS.events().encode(), b"event")
    first.answer(0)
    second.answer(0)
    assert scene.outcomes == [Outcome.NOBODY]


def test_whether_redis_has_just_come_back_is_known(scene: Scene) -> None:
    assert not scene.publisher.is_recovering

    scene.recovery.restored()

    assert scene.publisher.is_recovering
