"""Each kind of error has its status, and one sentence as JSON."""

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from hypha_cluster import errors, log_fields
from hypha_cluster.web.middleware.failures import handlers

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.HubError)
]


HANDLERS = handlers({"allow_origins": ["https://page"], "expose_headers": ["X-Request-ID"]})


async def answered(kind: type[Exception], error: Exception) -> tuple[int, dict[str, str], str]:
    response = await HANDLERS[kind](Request({"type": "http", "headers": []}), error)
    value = json.loads(bytes(response.body))
    assert value["success"] is False
    return response.status_code, dict(response.headers), value["detail"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_is_answered_with_the_status_of_its_kind(
    kind: type[errors.HubError],
) -> None:
    status, headers, detail = await answered(errors.HubError, kind("It is so."))

    assert (status, detail) == (kind.status, "It is so.")
    assert headers.get("retry-after") == ("1" if status == 503 else None)


async def test_who_asks_too_often_is_told_when_to_try_again() -> None:
    _, headers, _ = await answered(errors.HubError, errors.TooMany("Too many.", 30))

    assert headers["retry-after"] == "30"


async def test_a_refusal_is_written_down_without_a_ticket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "hypha_cluster.audit")
    scope = {"type": "http", "method": "GET", "path": "/apps/a/b/~secret/x.js", "headers": []}

    await HANDLERS[errors.HubError](Request(scope), errors.PermissionDenied("No."))

    assert '"path": "/apps/a/b/~***/x.js"' in caplog.text
    assert "secret" not in caplog.text


async def test_headers_of_an_http_error_are_kept() -> None:
    error = HTTPException(405, "Method Not Allowed", {"Allow": "GET"})

    status, headers, detail = await answered(HTTPException, error)

    assert (status, headers["allow"], detail) == (405, "GET", "Method Not Allowed")


async def test_what_is_the_hubs_fault_is_found_by_its_id_and_told_to_pages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_fields.request_id.set("mine-1")
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "query_string": b"token=secret",
        "headers": [(b"origin", b"https://page")],
    }
    answer = await HANDLERS[Exception](Request(scope), KeyError("secret"))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await answer(scope, receive, send)

    headers = dict(sent[0]["headers"])
    detail = json.loads(sent[1]["body"])["detail"]
    assert sent[0]["status"] == 500
    assert headers[b"access-control-allow-origin"] == b"https://page"
    assert headers[b"x-request-id"] == b"mine-1"
    assert "mine-1" in detail
    assert "GET /a%20b failed by KeyError; what follows is of request mine-1." in caplog.messages
    assert "secret" not in detail + caplog.text
