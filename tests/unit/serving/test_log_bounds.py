"""How many lines of one kind are logged."""

import io
import logging

import pytest

from hypha_cluster import audit
from hypha_cluster.protocol.limits import LOG_LINES, LOG_LINES_A_SECOND
from hypha_cluster.serving.log_bounds import LAST, FewOfAKind
from tests.fakes import FakeClock

MORE = 50  # lines than are logged


class Log:
    """What is logged by a logger of this name, through the filter."""

    def __init__(self, name: str = "hub") -> None:
        self.clock = FakeClock()
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.addFilter(FewOfAKind(self.clock))
        self.logger = logging.Logger(name, logging.DEBUG)
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    def flood(self, level: int = logging.INFO) -> None:
        for number in range(LOG_LINES + MORE):
            self.logger.log(level, "Frame %d is lost.", number)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_nobody_has_one_kind_of_line_logged_without_end(level: int) -> None:
    log = Log()

    log.flood(level)

    assert len(log.lines) == LOG_LINES
    assert log.lines[-2:] == [
        f"Frame {LOG_LINES - 2} is lost.",
        f"Frame {LOG_LINES - 1} is lost.{LAST}",
    ]


def test_other_kinds_are_logged_meanwhile() -> None:
    log = Log()
    log.flood()

    log.logger.info("A client is attached.")

    assert log.lines[-1] == "A client is attached."


def test_some_more_are_logged_with_time() -> None:
    log = Log()
    log.flood()

    log.clock.now += MORE / 2 / LOG_LINES_A_SECOND
    log.flood()

    assert len(log.lines) == LOG_LINES + MORE / 2


def test_a_quiet_while_counts_as_if_nothing_had_been_logged() -> None:
    log = Log()
    log.flood()

    log.clock.now += 10 * LOG_LINES / LOG_LINES_A_SECOND
    log.flood()

    assert len(log.lines) == 2 * LOG_LINES


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_no_warning_is_left_out(level: int) -> None:
    log = Log()

    log.flood(level)

    assert len(log.lines) == LOG_LINES + MORE


def test_the_audit_log_is_whole() -> None:
    log = Log(audit.LOGGER)

    log.flood()

    assert len(log.lines) == LOG_LINES + MORE
