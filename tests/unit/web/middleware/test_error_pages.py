"""Errors are pages for people, which say what would be right, and JSON for programs."""

import json

import pytest
from starlette.requests import Request

from hypha_cluster import errors
from hypha_cluster.web.middleware.error_pages import ErrorPages

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.HubError)
]


def test_programs_get_json() -> None:
    request = Request({"type": "http", "path": "/x", "headers": []})

    response = ErrorPages().answer(request, 404, "Not Found", None)

    assert json.loads(bytes(response.body)) == {"success": False, "detail": "Not Found"}


@pytest.mark.parametrize("kind", KINDS)
def test_people_get_a_page_that_says_what_would_be_right(
    kind: type[errors.HubError],
) -> None:
    headers = [(b"accept", b"text/html")]
    request = Request({"type": "http", "path": "/hub/x", "headers": headers})

    response = ErrorPages(base_path="/hub").answer(request, kind.status, "<it> is so.", {"a": "b"})

    text = bytes(response.body).decode()
    assert response.status_code == kind.status
    assert "&lt;it&gt; is so." in text
    assert 'href="/hub/pages/style.css"' in text
    assert response.headers["a"] == "b"


def test_links_lead_to_where_users_reach_the_hub() -> None:
    headers = [(b"accept", b"text/html")]
    request = Request({"type": "http", "path": "/x", "headers": headers})

    response = ErrorPages("https://a.example/b/", "/c").answer(request, 404, "Not Found", None)

    assert b'href="/b/pages/style.css"' in bytes(response.body)
