"""Replies are handed on as they come; what is no Redis is told from one."""

import asyncio
from typing import Any, cast

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.link import Access, Conversation, Endpoint, Link

HERE = Endpoint("here", 1)


class FakeTransport:
    """Keeps what is written; what it is told to answer comes at once."""

    def __init__(self, link: Link, *answers: bytes) -> None:
        self.link = link
        self.written: list[bytes] = []
        self._answers = list(answers)
        self._is_closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self._answers:
            self.link.data_received(self._answers.pop(0))

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.link.connection_lost(None)


class Stage:
    """A link with its transport, what it has handed on, and how often it was lost."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.lost = 0
        self.link = Link(self.replies.append, self._on_lost)
        self.transport = FakeTransport(self.link)
        self.link.connection_made(cast(asyncio.Transport, self.transport))

    def _on_lost(self) -> None:
        self.lost += 1


def test_replies_are_handed_on_in_order_however_they_are_cut() -> None:
    stage = Stage()

    for part in (b"+OK\r", b"\n$3\r\nab", b"c\r\n:1\r\n*1\r\n", b"$1\r\nx\r\n"):
        stage.link.data_received(part)

    assert stage.replies == [b"OK", b"abc", 1, [b"x"]]


def test_commands_are_written_at_once() -> None:
    stage = Stage()

    stage.link.send([("GET", "k"), ("SET", "k", b"\0", 1)])

    assert stage.transport.written == [
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n\x00\r\n$1\r\n1\r\n"
    ]


def test_replies_may_be_somebody_elses_from_now_on() -> None:
    stage, others = Stage(), list[Any]()
    stage.link.data_received(b"+one\r\n")

    stage.link.hand_over(others.append, lambda: others.append("lost"))
    stage.link.data_received(b"+two\r\n")
    stage.link.close()

    assert (stage.replies, others, stage.lost) == ([b"one"], [b"two", "lost"], 0)


def test_what_no_redis_says_ends_the_connection() -> None:
    stage = Stage()

    stage.link.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert (stage.link.is_garbled, stage.link.is_open, stage.lost) == (True, False, 1)


def talking(conversation: Conversation, *answers: bytes) -> FakeTransport:
    """Give a conversation a transport that answers."""
    transport = FakeTransport(conversation.link, *answers)
    conversation.link.connection_made(cast(asyncio.Transport, transport))
    return transport


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"-ERR not now\r\n", "Redis at here:1 refuses GET: ERR not now"),
        (b"SSH-2.0-OpenSSH\r\n", "What answers at here:1 is no Redis, or wants TLS."),
        (b"\x15\x03\x01\x00\x02\x02\x46", "What answers at here:1 is no Redis, or wants TLS."),
    ],
)
async def test_a_question_that_is_not_answered_says_why(answer: bytes, said: str) -> None:
    conversation = Conversation(HERE, Access())
    talking(conversation, answer)

    with pytest.raises(RedisUnavailable) as refused:
        await conversation.ask("GET", "k")

    assert str(refused.value) == said


async def test_a_server_that_hangs_up_or_says_nothing_is_unavailable() -> None:
    hanging, silent = Conversation(HERE, Access()), Conversation(HERE, Access(timeout=0.01))
    with pytest.raises(RedisUnavailable, match="hung up"):
        await hanging.ask("GET", "k")

    talking(silent)

    with pytest.raises(RedisUnavailable, match="does not answer"):
        await silent.ask("GET", "k")
    assert not silent.link.is_open


async def test_it_logs_in_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation(HERE, Access("ann", "hush", 3))
    transports: list[FakeTransport] = []

    async def connect(self: Conversation) -> None:
        transports.append(talking(self, *[b"+OK\r\n"] * 3, b"*1\r\n$6\r\nmaster\r\n"))

    monkeypatch.setattr(Conversation, "_connect", connect)

    await conversation.begin("hypha-test", must_be_master=True)

    words = [data.split(b"\r\n")[2::2] for data in transports[0].written]
    assert [b" ".join(each).decode() for each in words] == [
        "AUTH ann hush",
        "CLIENT SETNAME hypha-test",
        "SELECT 3",
        "ROLE",
    ]


async def test_a_replica_is_no_master(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(self: Conversation) -> None:
        talking(self, b"+OK\r\n", b"*1\r\n$5\r\nslave\r\n")

    monkeypatch.setattr(Conversation, "_connect", connect)
    conversation = Conversation(HERE, Access())

    with pytest.raises(RedisUnavailable, match="is no master"):
        await conversation.begin("hypha-test", must_be_master=True)

    assert not conversation.link.is_open


async def test_a_server_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(self: Conversation) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(Conversation, "_connect", connect)

    with pytest.raises(RedisUnavailable, match=r"Redis at here:1 cannot be reached: .*refused\."):
        await Conversation(HERE, Access()).begin("hypha-test")


def test_an_endpoint_is_shown_as_it_is_written() -> None:
    assert (str(HERE), str(Endpoint("", 0, "/run/redis.sock"))) == ("here:1", "/run/redis.sock")
