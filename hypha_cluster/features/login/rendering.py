"""Pages as the browser gets them: from templates, with nothing from anywhere else."""

from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_TEMPLATES: Final = Path(__file__).parent / "templates"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers hide where forms come from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
STYLE: Final = "/login/style.css"


class Pages:
    """Fills templates; whatever is put into one is text."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def show(self, page: str, root: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page by the name of its template. root: what the paths of links begin with."""
        text = self._templates.get_template(f"{page}.html").render(root=root, **values)
        return HTMLResponse(text, status, _HEADERS)

    async def style(self, request: Request) -> Response:
        text = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
        headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(text, 200, headers, "text/css")
