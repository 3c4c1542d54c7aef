"""What commands print: for people, and for programs."""

import json

import pytest

from hypha_cluster.commands.output import plain_table, show_json, show_table


def test_columns_stand_below_each_other() -> None:
    assert plain_table([("A", "LONG"), ("longer", "b")]) == "A       LONG\nlonger  b\n"


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("A",), [], "Nothing is there.")

    assert capsys.readouterr().out == "Nothing is there.\n"


def test_programs_get_json_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"name": "Ädä"})

    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": "Ädä"}
    assert "Ädä" in shown
    assert "\x1b" not in shown
