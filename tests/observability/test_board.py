"""The Grafana board: it fits together, and asks for what there is."""

import itertools
from typing import Any

import pytest

from tests.observability.board import board, filled, known_metrics, metrics_in, targets


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board()["panels"]
    return found


def sources(value: object) -> list[Any]:
    """All data sources that are named anywhere."""
    if isinstance(value, list):
        return [found for item in value for found in sources(item)]
    if not isinstance(value, dict):
        return []
    own = [value["datasource"]] if "datasource" in value else []
    return own + [found for item in value.values() for found in sources(item)]


def test_each_panel_has_an_id_of_its_own_and_says_what_it_shows() -> None:
    numbers = [panel["id"] for panel in panels()]

    assert len(set(numbers)) == len(numbers)
    assert all(panel["title"] for panel in panels())
    assert all(panel["description"] for panel in panels() if panel["type"] != "row")


def test_no_two_panels_lie_over_each_other() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        return set(itertools.product(columns, rows))

    for one, other in itertools.combinations(panels(), 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


def test_whoever_imports_the_board_chooses_the_data_source() -> None:
    variables = {variable["name"]: variable for variable in board()["templating"]["list"]}

    assert variables["datasource"]["type"] == "datasource"
    assert {source["uid"] for source in sources(board())} == {"${datasource}"}


@pytest.mark.parametrize(("title", "expression"), list(targets()))
def test_a_query_asks_for_metrics_that_exist(title: str, expression: str) -> None:
    asked = metrics_in(expression)

    assert asked
    assert asked <= known_metrics()
    assert "$" not in filled(expression)
