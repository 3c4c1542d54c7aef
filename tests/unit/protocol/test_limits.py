"""The table of limits: what code imports is what it says, and the page shows each row."""

from pathlib import Path

from docs.generate import limits_table
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import all_settings
from hypha_cluster.protocol import limits
from hypha_cluster.protocol.limits import TABLE

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def test_every_number_of_the_module_is_a_row_of_the_table() -> None:
    numbers = [v for name, v in vars(limits).items() if isinstance(v, int | float)]

    assert sorted(numbers) == sorted(row.value for row in TABLE if row.value is not None)


def test_every_row_says_of_what_it_is_the_bound_in_which_unit_and_why() -> None:
    incomplete = [
        row.what
        for row in TABLE
        if not (row.topic and row.what and row.reason and (row.setting or row.unit))
    ]

    assert incomplete == []


def test_no_two_rows_are_of_the_same() -> None:
    names = [(row.topic, row.what) for row in TABLE]

    assert len(names) == len(set(names))


def test_a_row_without_a_value_names_a_setting_that_exists() -> None:
    flags = {about.flag for about in all_settings(BUILT_IN)}

    assert {row.setting for row in TABLE if row.value is None} <= flags


def test_the_page_shows_every_row_with_its_value_and_its_reason() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert limits_table() in text
    for row in TABLE:
        assert row.reason in text
    assert "| 1,000,000 bytes |" in text
    assert "| 16 MiB (`--max-frame-size`) |" in text
    assert "| 10 years |" in text
