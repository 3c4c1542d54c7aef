"""What the issuer of a hub is asked for pages is bounded: to the issuer, all is the hub's."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from starlette.requests import Request
from starlette.types import Message

from hypha_cluster.errors import Overloaded, TooMany
from hypha_cluster.features.login.issuer_addresses import IssuerAddresses
from hypha_cluster.protocol.limits import ISSUER_REQUESTS

FORM = b"grant_type=authorization_code&code=x"
HERE = "address 192.0.2.1"


class Counted:
    """Attempts of which three may be."""

    def __init__(self) -> None:
        self.what: list[str] = []

    async def left_out(self, what: str) -> float:
        return 60.0 if self.what.count(what) >= 3 else 0.0

    async def count(self, what: str) -> None:
        self.what.append(what)


def posted() -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": FORM}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def addresses(relay: Any, source: str = HERE) -> tuple[IssuerAddresses, Counted]:
    counted: Any = Counted()
    return IssuerAddresses(Mock(relay=relay), counted, lambda _: source), counted


async def test_who_is_refused_too_often_asks_the_issuer_no_more() -> None:
    relay = AsyncMock(return_value=(400, {"error": "invalid_grant"}))
    asked, _ = addresses(relay)

    for _ in range(3):
        answer = await asked.token(posted())
        assert json.loads(bytes(answer.body)) == {"error": "invalid_grant"}
    with pytest.raises(TooMany, match="try again in 1 minutes") as no:
        await asked.token(posted())

    assert no.value.seconds == 60
    assert relay.await_count == 3


async def test_what_is_redeemed_and_who_does_not_count_are_not_counted() -> None:
    asked, counted = addresses(AsyncMock(return_value=(200, {})))
    exempt, none = addresses(AsyncMock(return_value=(400, {})), source="")

    for _ in range(4):
        assert (await asked.token(posted())).status_code == 200
        assert (await exempt.token(posted())).status_code == 400

    assert counted.what == none.what == []


async def test_so_many_are_asked_for_at_once_and_no_more() -> None:
    go_on = asyncio.Event()
    full = asyncio.Event()
    under_way = []

    async def relay(form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        under_way.append(form)
        if len(under_way) == ISSUER_REQUESTS:
            full.set()
        await go_on.wait()
        return 200, {}

    asked, _ = addresses(relay)
    async with asyncio.TaskGroup() as group:
        for _ in range(ISSUER_REQUESTS):
            group.create_task(asked.token(posted()))
        await full.wait()
        with pytest.raises(Overloaded):
            await asked.token(posted())
        go_on.set()

    assert (await asked.token(posted())).status_code == 200
