"""The page that shows a description loads nothing but from the hub, and runs one script."""

import base64
import hashlib
import re
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster.web import assets
from hypha_cluster.web.openapi.routes import OpenApi

UNUSED = cast(Any, None)


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


async def test_it_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "is_there", lambda name: False)

    answer = await page()

    assert answer.status_code == 503
    assert b"hypha-cluster assets --get swagger-ui-dist" in answer.body
    assert b"openapi.json" in answer.body
