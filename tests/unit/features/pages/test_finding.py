"""What a person looks for is found in whatever is said of a service, and case does not matter."""

import pytest
from starlette.requests import Request

from hypha_cluster.features.pages.finding import has_text, wanted_text

SERVICE = {
    "name": "Straße nach Süden",
    "id": "c:maps",
    "type": "ASGI",
    "description": "Shows maps.",
}


@pytest.mark.parametrize("text", ["", "strasse", "SÜDEN", "maps", "asgi", "shows"])
def test_a_part_of_a_word_is_enough(text: str) -> None:
    assert has_text(SERVICE, text)


def test_what_is_not_there_is_not_found() -> None:
    assert not has_text(SERVICE, "north")


@pytest.mark.parametrize(
    ("query", "text"),
    [("", ""), ("find=", ""), ("find=+a+b+", "a b"), ("find=" + 200 * "x", 100 * "x")],
)
def test_the_query_says_what_is_wanted(query: str, text: str) -> None:
    scope = {"type": "http", "query_string": query.encode(), "headers": []}

    assert wanted_text(Request(scope)) == text
