"""What browsers are told of an answer, unless it says so itself or is a web application's."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from hypha_cluster.web.middleware.compression import Compress, as_it_is
from hypha_cluster.web.middleware.own_headers import OwnHeaders
from tests.unit.web.middleware.asgi import ask, headers_of

OWN = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}


async def answered(
    *headers: tuple[bytes, bytes], is_foreign: bool = False, **scope: object
) -> dict[str, str]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        send = as_it_is(scope, send) if is_foreign else send
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body"})

    start, *_ = await ask(Compress(OwnHeaders(app)), **scope)
    return headers_of(start)


async def test_every_answer_of_the_hubs_own_has_them() -> None:
    assert (await answered()).items() >= OWN.items()


async def test_what_an_answer_says_itself_stays() -> None:
    found = await answered((b"referrer-policy", b"no-referrer"))

    assert found["referrer-policy"] == "no-referrer"


async def test_answers_of_web_applications_stay_as_they_are() -> None:
    assert not (await answered(is_foreign=True)).keys() & OWN.keys()


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({"scheme": "https", "headers": [(b"host", b"hub.example")]}, True),
        ({"scheme": "http", "headers": [(b"x-forwarded-proto", b"https")]}, True),
        ({"scheme": "https", "headers": [(b"host", b"lab.example:9443")]}, False),
        ({"scheme": "http", "headers": [(b"host", b"hub.example")]}, False),
    ],
)
async def test_a_host_that_is_the_hubs_alone_is_asked_by_https_from_then_on(
    fields: dict[str, Any], holds: bool
) -> None:
    assert ("strict-transport-security" in await answered(**fields)) is holds
