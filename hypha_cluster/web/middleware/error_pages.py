"""Shows errors to people with a browser: on a page that also says what would be right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster import log_fields
from hypha_cluster.web.answers import error_response
from hypha_cluster.web.rendering import Pages, wants_page

# Heading, and what would be right; by status, else by its hundred.
_HELP: Final = {
    401: ("Log in first", "This address needs to know who you are. Log in, then open it again."),
    403: (
        "Not open to you",
        "It belongs to others. Log in as somebody who may see it, or ask an owner of the "
        "workspace to let you in.",
    ),
    404: (
        "Nothing is here",
        "Look at the address once more: a service is at /WORKSPACE/services/SERVICE, a web "
        "application at /WORKSPACE/apps/APPLICATION/, a workspace at /WORKSPACE/. What a client "
        "offers goes when the client goes.",
    ),
    405: ("That does not work this way", "This address is there, but not for such a request."),
    429: ("Too often", "Wait a moment, then try again."),
    400: ("The request is not right", "Correct what the sentence above names, and try again."),
    502: ("Whoever offers this broke off", "Try again; if it goes on, its program has a fault."),
    503: (
        "Not at this moment",
        "The hub, or whoever offers this, is not there for a moment. Try again in a few seconds.",
    ),
    504: ("No answer in time", "Whoever offers this is busy or hangs. Try again later."),
    500: ("The hub failed", "Its operator finds the cause in the log, by the number below."),
}
_LOGIN: Final = (401, 403)
_LATER: Final = (429, 500, 502, 503, 504)
_SERVER: Final = 500


class ErrorPages:
    """Shows what went wrong: as a page to people, as JSON to programs.

    public_base_url, base_path: as the settings have them; they say where links lead.
    """

    def __init__(self, public_base_url: str = "", base_path: str = "") -> None:
        self._public_root = urlsplit(public_base_url).path if public_base_url else None
        self._base_path = base_path
        self._pages = Pages(Path(__file__).parent, with_scripts=False)

    def answer(
        self, request: Request, status: int, text: str, headers: Mapping[str, str] | None
    ) -> Response:
        """The error as a page, or as JSON for programs."""
        if not wants_page(request.scope):
            return error_response(status, text, headers)
        heading, help_text = _HELP.get(status) or _HELP[_SERVER if status >= _SERVER else 400]
        return self._pages.show(
            "error",
            self._root(request),
            status,
            headers={**(headers or {}), "Vary": "Accept"},
            heading=heading,
            text=text,
            help=help_text,
            login=status in _LOGIN,
            again=status in _LATER,
            status=status,
            request_id=log_fields.request_id.get() if status >= _SERVER else "",
        )

    def _root(self, request: Request) -> str:
        if self._public_root is not None:
            return self._public_root.rstrip("/")
        path: str = request.scope["path"]
        return self._base_path if path.startswith(f"{self._base_path}/") else ""
