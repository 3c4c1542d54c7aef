"""Errors as answers: the status of their kind, and one sentence that says what is wrong.

People with a browser get it as a page.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hypha_cluster import audit, log_fields
from hypha_cluster.audit import Event
from hypha_cluster.errors import (
    HubError,
    InvalidToken,
    MethodNotAllowed,
    PermissionDenied,
    TooMany,
)
from hypha_cluster.web.middleware.error_pages import ErrorPages
from hypha_cluster.web.middleware.request_ids import HEADER, path_told

_UNAVAILABLE: Final = 503
_AGAIN: Final = {"Retry-After": "1"}  # seconds
_PLAIN: Final = ErrorPages()

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


def handlers(origins: Mapping[str, Any], pages: ErrorPages = _PLAIN) -> Mapping[Any, Handler]:
    """The handlers for each kind of error. origins: those whose pages may read a failure."""

    async def on_hub_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HubError)
        note_refusal(request, error)
        return pages.answer(request, error.status, str(error), _besides(error))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return pages.answer(request, error.status_code, error.detail, error.headers)

    async def on_failure(request: Request, error: Exception) -> Response:
        """Answer a failure of the hub; it is raised again behind this, and logged."""
        request_id = log_fields.request_id.get()
        what = (request.method, path_told(request.scope), type(error).__name__, request_id)
        _log.error("%s %s failed by %s; what follows is of request %s.", *what)
        text = f"The hub failed; its operator finds the cause in its log, by the id {request_id}."
        response = pages.answer(request, 500, text, {HEADER: request_id})
        return _ForPages(response, origins)

    return {HubError: on_hub_error, HTTPException: on_http_error, Exception: on_failure}


def note_refusal(request: Request, error: HubError) -> None:
    """Note in the audit log who may not do what they ask for; without tickets, and the query."""
    method, path = request.scope.get("method"), path_told(request.scope)
    is_client = path.endswith("/sse")  # which is noted as one that comes in
    if isinstance(error, InvalidToken | PermissionDenied) and not is_client:
        audit.note(Event.REFUSED, method=method, path=path, reason=str(error))


def _besides(error: HubError) -> Mapping[str, str] | None:
    """When to try again, if that is known, or how."""
    if isinstance(error, MethodNotAllowed):
        return {"Allow": "POST"}
    if isinstance(error, TooMany) and error.seconds:
        return {"Retry-After": f"{error.seconds:.0f}"}
    return _AGAIN if error.status == _UNAVAILABLE else None


class _ForPages(Response):
    """An answer from outside of the CORS middleware, which adds those headers itself."""

    def __init__(self, response: Response, origins: Mapping[str, Any]) -> None:
        super().__init__()
        self._app = CORSMiddleware(response, **origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
