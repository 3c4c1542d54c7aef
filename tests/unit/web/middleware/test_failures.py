"""Each kind of error has its status, and one sentence as JSON."""

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hypha_cluster import errors, log_fields
from hypha_cluster.web.middleware.failures import HANDLERS

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.HubError)
]


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


async def test_headers_of_an_http_error_are_kept() -> None:
    error = HTTPException(405, "Method Not Allowed", {"Allow": "GET"})

    status, headers, detail = await answered(HTTPException, error)

    assert (status, headers["allow"], detail) == (405, "GET", "Method Not Allowed")


async def test_what_is_the_hubs_fault_is_found_by_its_id() -> None:
    log_fields.request_id.set("mine-1")

    status, headers, detail = await answered(Exception, KeyError("secret"))

    assert (status, headers["x-request-id"]) == (500, "mine-1")
    assert "operator" in detail
    assert "secret" not in detail
