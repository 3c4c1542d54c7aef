"""Which clients the log warns of."""

import pytest
from starlette.datastructures import Headers

from hypha_cluster.web.unfit_clients import warn_of_websockets


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ("Python/3.11 websockets/17.4", "websockets 17.4"),
        ("Python/3.12 websockets/14.0", "websockets 14.0"),
        ("my-program websockets/15", "websockets 15"),
        ("websockets/" + "9" * 5000, ""),
        ("Python/3.11 websockets/13.1", ""),
        ("Python/3.9 websockets/9.1", ""),
        ("Mozilla/5.0 (X11; Linux x86_64)", ""),
        ("notwebsockets/17.4", ""),
        ("", ""),
    ],
)
def test_the_log_warns_of_releases_of_websockets_that_break_a_client(
    caplog: pytest.LogCaptureFixture, agent: str, named: str
) -> None:
    warn_of_websockets(Headers({"user-agent": agent}), "ws/me")

    assert [message.split(", ")[0] for message in caplog.messages] == [
        f"ws/me comes with {named}"
    ] * bool(named)


def test_a_client_that_does_not_say_what_it_is_gets_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_of_websockets(Headers({}), "ws/me")

    assert caplog.messages == []
