"""What may be written for a visibility."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.hub.manager.visibility import check_visibility, read_visibility


@pytest.mark.parametrize("visibility", ["public", "protected"])
def test_what_has_a_meaning_is_read_as_it_is(
    visibility: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    assert read_visibility(visibility, "service s", "ws/me") == visibility
    assert caplog.messages == []


def test_private_is_protected_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    assert read_visibility("private", "service s", "ws/me") == "protected"
    assert caplog.messages == ["ws/me: visibility 'private' of service s is taken as 'protected'."]


@pytest.mark.parametrize("visibility", [None, "", "Public", ["public"], {"a": 1}, 1, "x" * 10_000])
def test_anything_else_is_refused(visibility: Any) -> None:
    with pytest.raises(
        BadRequest, match="'visibility' is 'public' or 'protected', not "
    ) as refused:
        check_visibility(visibility)

    assert len(str(refused.value)) < 200
