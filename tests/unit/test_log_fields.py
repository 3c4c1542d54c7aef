"""What a line of the log is about."""

import logging

import pytest

from hypha_cluster import log_fields


def record(**extra: str) -> logging.LogRecord:
    entry = logging.LogRecord("hub", logging.INFO, __file__, 1, "text", None, None)
    vars(entry).update(extra)
    return entry


def test_a_line_is_about_what_was_begun_unless_it_says_otherwise() -> None:
    with log_fields.about("r", "ws/one"):
        assert log_fields.fields(record()) == {"request_id": "r", "client": "ws/one"}
        assert log_fields.fields(record(client="ws/other"))["client"] == "ws/other"

    assert log_fields.fields(record()) == {}


@pytest.mark.parametrize("given", ["0123-abcd", "Root=1-67891233-abcdef", "a" * 128])
def test_the_id_of_a_request_is_kept(given: str) -> None:
    assert log_fields.good_request_id(given) == given


@pytest.mark.parametrize("given", ["", "two words", "line\nbreak", "a" * 129, "{}", "ü"])
def test_an_id_that_is_no_good_is_replaced(given: str) -> None:
    made = log_fields.good_request_id(given)

    assert made != given
    assert log_fields.good_request_id(made) == made
