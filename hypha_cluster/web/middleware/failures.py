"""Errors as answers: the status of their kind, and one sentence that says what is wrong."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster import log_fields
from hypha_cluster.errors import HubError
from hypha_cluster.web.answers import error_response
from hypha_cluster.web.middleware.request_ids import HEADER

_UNAVAILABLE: Final = 503
_AGAIN: Final = {"Retry-After": "1"}  # seconds


async def _on_hub_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    return error_response(
        error.status, str(error), _AGAIN if error.status == _UNAVAILABLE else None
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


async def _on_failure(request: Request, error: Exception) -> Response:
    """It is raised again behind this, and logged."""
    headers = {HEADER: log_fields.request_id.get()}
    return error_response(500, "The hub failed; its operator finds the cause in its log.", headers)


HANDLERS: Final[Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]] = {
    HubError: _on_hub_error,
    HTTPException: _on_http_error,
    Exception: _on_failure,
}
