"""Which function is meant by the words in a query or a body."""

from typing import Any

import pytest

from hypha_cluster.errors import BadArguments, BadRequest
from hypha_cluster.web.old_addresses import place_of


@pytest.mark.parametrize(
    ("service_id", "workspace", "place"),
    [
        ("s", "w", ("w", "s")),
        ("c:s", "w", ("w", "c:s")),
        ("w/c:s", None, ("w", "c:s")),
        ("w/c:s", "w", ("w", "c:s")),
        ("w/*:s", "", ("w", "s")),
        ("*:s", "w", ("w", "s")),
    ],
)
def test_all_forms_of_an_id_are_read(
    service_id: str, workspace: str | None, place: tuple[str, str]
) -> None:
    found = place_of({"service_id": service_id, "workspace": workspace, "function_key": "f"})

    assert (found["workspace"], found["service"], found["function"]) == (*place, "f")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"service_id": "s", "function_key": "f"}, "workspace"),
        ({"workspace": "w", "function_key": "f"}, "service_id"),
        ({"service_id": "s", "workspace": "w"}, "function_key"),
        ({"service_id": "s", "workspace": 5, "function_key": "f"}, "workspace"),
    ],
)
def test_what_is_missing_is_said(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(BadArguments, match=f"'{missing}' is missing"):
        place_of(given)


def test_two_workspaces_are_a_contradiction() -> None:
    with pytest.raises(BadRequest, match="not that of the service"):
        place_of({"service_id": "w/c:s", "workspace": "v", "function_key": "f"})
