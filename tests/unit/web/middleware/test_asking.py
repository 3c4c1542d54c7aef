"""Requests count for their address before it is known what they are for."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from starlette.responses import PlainTextResponse

from hypha_cluster.errors import TooMany
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.web.middleware.asking import CountRequests
from tests.unit.web.middleware.asgi import ask


class Full:
    """Quotas of somebody who has asked too much."""

    def sources(self, scope: Mapping[str, Any]) -> Sequence[str]:
        return ["address"] if scope.get("client") else ()

    def request(self, subjects: Sequence[str]) -> None:
        raise TooMany("Too many requests.", 1.0)


COUNTED = CountRequests(PlainTextResponse("there"), cast(Quotas, Full()), ["/health/live", "/sse"])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/w/apps/a/", "/w/apps/a/health/live", "/nothing"])
async def test_nothing_is_asked_that_does_not_count(method: str, path: str) -> None:
    with pytest.raises(TooMany):
        await ask(COUNTED, method=method, path=path, client=("192.0.2.1", 1))


async def test_what_is_posted_for_a_stream_counts_and_the_stream_does_not() -> None:
    """A browser would not come back."""
    with pytest.raises(TooMany):
        await ask(COUNTED, method="POST", path="/sse", client=("192.0.2.1", 1))

    assert (await ask(COUNTED, path="/sse", client=("192.0.2.1", 1)))[0]["status"] == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "/health/live", "client": ("192.0.2.1", 1)},
        {"path": "/", "client": None},
    ],
)
async def test_probes_and_who_counts_as_nobody_pass(asked: dict[str, Any]) -> None:
    assert (await ask(COUNTED, **asked))[0]["status"] == 200
