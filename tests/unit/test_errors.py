"""The tree of errors, as its module describes it."""

import re

import pytest

from hypha_cluster import errors
from hypha_cluster.errors import HubError


def every_error(kind: type[HubError] = HubError) -> list[type[HubError]]:
    below = [error for sub in kind.__subclasses__() for error in every_error(sub)]
    return [kind, *below]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_can_be_told_by_http_and_by_websocket(kind: type[HubError]) -> None:
    assert 400 <= kind.status < 600
    assert 1000 <= kind.close_code < 1016
    assert kind.close_code not in (1000, 1001, 1005, 1006, 1015)
    assert kind.__doc__


def test_the_tree_at_the_head_of_the_module_is_complete() -> None:
    drawn = re.findall(r"^[│ ]*(?:[├└]── )?(\w+)", errors.__doc__ or "", re.MULTILINE)

    assert {error.__name__ for error in every_error()} <= set(drawn)
