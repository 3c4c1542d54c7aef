from collections.abc import Sequence
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.launcher.running.logbook import Logbook, masked
from hypha_cluster.protocol.limits import APP_LOG, APP_LOG_ENTRY, APP_LOG_SIZE
from hypha_cluster.registry.instance_logs import Entry


class Logs:
    """Keeps what is written; `fails` once."""

    def __init__(self) -> None:
        self.written: list[tuple[str, list[str], int]] = []
        self.fails = False
        self.there: list[Entry] = []

    async def read(self, address: str, kind: str, offset: int, limit: int) -> list[Entry]:
        return self.there[offset : offset + limit]

    async def write(self, address: str, kind: str, texts: Sequence[str], *, kept: int) -> None:
        if self.fails:
            self.fails = False
            raise RedisUnavailable("away")
        self.written.append((kind, list(texts), kept))


def logbook(logs: Any) -> Logbook:
    return Logbook(logs, "ws/app")


async def test_entries_are_written_by_their_kind_and_cut() -> None:
    logs = Logs()
    book = logbook(logs)
    for kind, text in [("log", "a"), ("dir", "b"), ("assert", "c"), ("info", "x" * 99_999)]:
        book.take(kind, text)

    await book.write()
    await book.write()

    assert logs.written == [
        ("log", ["a", "b"], APP_LOG),
        ("error", ["c"], APP_LOG),
        ("info", ["x" * APP_LOG_ENTRY], APP_LOG),
    ]
    assert book.last_error == "c"


async def test_nothing_is_lost_while_redis_is_away() -> None:
    logs = Logs()
    logs.fails = True
    book = logbook(logs)
    book.take("log", "a")

    await book.write()
    book.take("log", "b")
    await book.write()

    assert logs.written == [("log", ["a", "b"], APP_LOG)]


async def test_a_log_has_a_size() -> None:
    logs = Logs()
    book = logbook(logs)
    for _ in range(2 * APP_LOG_SIZE // APP_LOG_ENTRY):
        book.take("log", "x" * APP_LOG_ENTRY)
        await book.write()

    assert logs.written[-1][2] == APP_LOG_SIZE // APP_LOG_ENTRY


async def test_the_size_of_a_log_is_that_of_its_bytes() -> None:
    logs = Logs()
    book = logbook(logs)
    for _ in range(APP_LOG_SIZE // APP_LOG_ENTRY):
        book.take("log", "\U0001f600" * APP_LOG_ENTRY)
    await book.write()

    assert logs.written[-1][2] == APP_LOG_SIZE // APP_LOG_ENTRY // 4


async def test_what_an_earlier_page_has_logged_counts() -> None:
    logs = Logs()
    logs.there = [Entry(0.0, "log", "x" * APP_LOG_ENTRY)] * (APP_LOG_SIZE // APP_LOG_ENTRY)
    book = logbook(logs)
    book.take("log", "y" * APP_LOG_ENTRY)
    await book.write()

    assert logs.written[-1][2] == APP_LOG_SIZE // APP_LOG_ENTRY


@pytest.mark.parametrize(
    "text",
    [
        "at http://h/apps/ws/Qm/~{}/index.html:1:2",
        "ws://h/ws?client_id=a&token={}&workspace=b",
        "reconnection_token={}",
        "token=hypha-app-{}",
        "ann@imjoy@{}",
        "Bearer eyJ0eXAi.{}.x-y",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    secret = "s3cr3t-" + "abcDEF123_" * 3

    assert secret not in masked(text.format(secret))
    assert "***" in masked(text.format(secret))
    assert masked("nothing ~ to = hide") == "nothing ~ to = hide"
