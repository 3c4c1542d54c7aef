"""What is written of an instance in Redis is what is read of it, also where it says little."""

from typing import Any

import pytest

from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.instance import (
    ACTIVE,
    ALONE,
    HELD,
    OVER,
    WAITING,
    Instance,
    ProbeTimes,
    Scale,
    State,
    Wanted,
    files_secret,
    files_ticket,
)

PAGE = Identity("ann", scopes=("ann",))


def wanted(**different: Any) -> Wanted:
    asked = Wanted("ann", "me", "adder", "Adder", PAGE, "default", 30.0)
    return asked._replace(**different)


def stored(**fields: str) -> dict[bytes, bytes]:
    """As the scripts leave it."""
    known = {
        **{"state": "pending", "epoch": "0", "app": "adder"},
        **{"asked": "1500", "changed": "2500"},
        **wanted().fields(),
        **fields,
    }
    return {key.encode(): value.encode() for key, value in known.items()}


def test_every_state_is_of_one_kind_or_on_its_way_to_the_end() -> None:
    assert ACTIVE == HELD | WAITING
    assert not ACTIVE & OVER
    assert set(State) - ACTIVE - OVER == {State.STOPPING}


def test_what_is_new_is_read_as_it_was_asked_for() -> None:
    found = Instance.of("ann/me", stored())

    assert (found.workspace, found.client, found.app_id) == ("ann", "me", "ann/adder")
    assert (found.name, found.wait_for, found.timeout) == ("Adder", "default", 30.0)
    assert (found.state, found.epoch, found.runner) == (State.PENDING, 0, "")
    assert (found.restarts, found.probe_failures, found.has_run) == (0, 0, False)
    assert (found.asked, found.changed) == (1.5, 2.5)
    assert found.then is State.STOPPED


def test_what_has_run_and_failed_is_read_with_the_reason() -> None:
    found = Instance.of(
        "ann/me",
        stored(state="failed", epoch="3", has_run="1", reason="It crashed.", restarts="2"),
    )

    assert (found.state, found.epoch, found.has_run) == (State.FAILED, 3, True)
    assert (found.reason, found.restarts) == ("It crashed.", 2)


def test_an_instance_of_an_older_gateway_was_asked_for_when_it_last_changed() -> None:
    known = stored()
    del known[b"asked"]

    assert Instance.of("ann/me", known).asked == 2.5


def test_a_record_says_whose_page_it_is_and_not_by_which_token() -> None:
    """Runners read it."""
    fields = wanted().fields()

    assert fields["family"] == PAGE.family
    assert "user" not in fields


def test_the_files_of_an_instance_are_opened_by_a_secret_of_its_own() -> None:
    assert files_secret() != files_secret()

    found = Instance.of("ann/me", stored(files="secret"))

    assert files_ticket(found, 3) == "secret.3.me"


@pytest.mark.parametrize(
    ("probe", "fields"),
    [
        (None, {}),
        (
            ProbeTimes(period=10.0, delay=1.5, patience=2.0),
            # A gateway that has not said by then what it found is taken to be lost.
            {"probe_every": "10000", "probe_delay": "1500", "probe_for": "7000"},
        ),
    ],
)
def test_when_it_is_probed_is_written_in_ms(
    probe: ProbeTimes | None, fields: dict[str, str]
) -> None:
    written = wanted(probe=probe).fields()

    assert {name: each for name, each in written.items() if name.startswith("probe")} == fields


@pytest.mark.parametrize(
    ("scale", "idle"), [(ALONE, None), (Scale(idle=30.5), "30500"), (Scale(idle=0.0), "0")]
)
def test_what_never_idles_has_no_time_for_that(scale: Scale, idle: str | None) -> None:
    assert wanted(scale=scale).fields().get("idle") == idle
