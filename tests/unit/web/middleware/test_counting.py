"""Answers are counted by their status, also where there is none."""

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hypha_cluster.metrics import Counts
from hypha_cluster.web.middleware.counting import CountAnswers
from tests.unit.web.middleware.asgi import ask


async def test_answers_are_counted_by_their_status() -> None:
    counts = Counts()

    for status in (200, 404, 404):
        await ask(CountAnswers(Response(status_code=status), counts))

    assert counts.http_answers == {"200": 1, "404": 2}


async def test_a_request_without_an_answer_takes_its_time_all_the_same() -> None:
    counts = Counts()

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await ask(CountAnswers(fail, counts))

    assert counts.http_answers == {}


async def test_a_websocket_is_no_answer() -> None:
    counts = Counts()

    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    assert await ask(CountAnswers(accept, counts), type="websocket") == [
        {"type": "websocket.accept"}
    ]
    assert counts.http_answers == {}
