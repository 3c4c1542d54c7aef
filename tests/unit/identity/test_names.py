"""What names there may be."""

from collections.abc import Callable

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.identity.names import check_client_id, check_service_id, check_workspace_name

Check = Callable[[str], None]
BAD = ["", "a/b", "a:b", "*", "a*", "{a}", "a\nb", "\x00", "a\x1b", "a\x7f", "a\x9b2J", "x" * 257]


@pytest.mark.parametrize("check", [check_workspace_name, check_client_id, check_service_id])
@pytest.mark.parametrize("name", BAD)
def test_what_means_something_else_is_no_name(check: Check, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a"):
        check(name)


@pytest.mark.parametrize("check", [check_workspace_name, check_client_id])
@pytest.mark.parametrize("name", ["~node", "a b", "a\u2028b", "a?b", "a#b", "a%2fb", "a&b", " a"])
def test_what_would_not_pass_through_a_url_is_no_name(check: Check, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a"):
        check(name)


@pytest.mark.parametrize("check", [check_workspace_name, check_client_id, check_service_id])
@pytest.mark.parametrize("name", ["a", "a-b_c.d", "auth0|123", "ünïcode", "x" * 256, "a~b", "日本"])
def test_other_names_are_names(check: Check, name: str) -> None:
    check(name)


def test_a_service_may_have_a_name_of_several_words() -> None:
    check_service_id("my service")


def test_no_client_is_the_manager() -> None:
    with pytest.raises(BadRequest):
        check_client_id("workspace-manager")
