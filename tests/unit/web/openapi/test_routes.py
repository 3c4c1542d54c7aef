"""The page that shows a description loads nothing but from the hub, and runs one script."""

import base64
import hashlib
import json
import re
from typing import Any, Self, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import DESCRIPTION
from hypha_cluster.web import assets
from hypha_cluster.web.openapi.routes import OpenApi
from tests.unit.web.middleware.asgi import ask

UNUSED = cast(Any, None)


class Neighbours:
    """A workspace of strangers, who say much of ten services."""

    base_url, inside, online, address = "http://hub", True, True, "ws/c"

    async def enter(self, request: Request, name: str) -> Self:
        return self

    async def visible(self, workspace: str, *, inside: bool) -> list[dict[str, str]]:
        return [{"id": f"ws/c:s{n}"} for n in range(10)]

    async def find(self, visitor: object, wanted: object, workspace: str) -> Self:
        return self

    async def known(self, visitor: object, provider: object) -> dict[str, Any]:
        docs = {"_rdoc": "x" * 10_000}
        return {f"f{n}": rpc.reference("ws/c", f"services.s.f{n}") | docs for n in range(300)}


async def test_what_is_said_of_a_workspace_has_a_bound_of_bytes() -> None:
    strangers = cast(Any, Neighbours())
    headers = [(b"accept", b"application/json")]
    request = Request({"type": "http", "headers": headers, "path_params": {"workspace": "ws"}})

    answer = await OpenApi(strangers, strangers, strangers).of_workspace(request)
    _, *pieces = await ask(answer)
    whole = b"".join(piece["body"] for piece in pieces)

    assert len(whole) < DESCRIPTION + 100_000  # and what is said of any workspace
    said = json.loads(whole)
    assert said["paths"]
    assert re.search(r"there is too much: \d\.", said["info"]["description"])


async def page(root_path: str = "") -> Response:
    api = OpenApi(UNUSED, UNUSED, UNUSED)
    return await api.page(Request({"type": "http", "root_path": root_path, "headers": []}))


@pytest.mark.parametrize("base", ["", "/hub"])
async def test_it_shows_swagger_ui_of_this_hub(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "is_there", lambda name: True)

    answer = await page(base)

    text, policy = bytes(answer.body).decode(), answer.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert answer.status_code == 200
    assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    paths = set(re.findall(r'(?:src|href)="(.*?)"', text)) - {"data:,"}  # the icon that is none
    assert all(path.startswith(f"{base}/") for path in paths)


async def test_it_runs_no_script_of_a_web_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the same origin, and people put their tokens into this page."""
    monkeypatch.setattr(assets, "is_there", lambda name: True)

    first, second = await page(), await page()

    scripts = re.search(r"script-src ([^;]*)", first.headers["content-security-policy"])
    nonce = re.search(rb'nonce="([\w-]+)"', bytes(first.body))
    assert scripts
    assert nonce
    assert "'self'" not in scripts[1]
    assert f"'nonce-{nonce[1].decode()}'" in scripts[1]
    assert nonce[1] not in bytes(second.body)
    assert first.headers["cross-origin-opener-policy"] == "same-origin"


async def test_it_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "is_there", lambda name: False)

    answer = await page()

    assert answer.status_code == 503
    assert b"hypha-cluster assets --get swagger-ui-dist" in answer.body
    assert b"openapi.json" in answer.body
