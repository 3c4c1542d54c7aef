"""Lines of the audit log: written when they are asked for, and with no secret in them."""

import json
import logging
from collections.abc import Iterator

import pytest

from hypha_cluster import audit
from hypha_cluster.audit import LOGGER, Event, note


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    audit.switch(on=False)


def test_nothing_is_written_unless_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    audit.switch(on=False)

    note(Event.ADMITTED, user="ann")

    assert caplog.text == ""


def test_a_line_is_one_object(caplog: pytest.LogCaptureFixture) -> None:
    audit.switch(on=True)

    note(Event.TOKEN_MADE, user='an\n"n', scopes=("lab",), maker=None)

    ((name, level, text),) = caplog.record_tuples
    assert (name, level) == (LOGGER, logging.INFO)
    assert "\n" not in text
    assert json.loads(text) == {
        "event": "token made",
        "user": 'an\n"n',
        "scopes": ["lab"],
        "maker": None,
    }
