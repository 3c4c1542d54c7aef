"""Which functions there are, and what they are called as clients."""

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.functions.functions import (
    Functions,
    FunctionSettings,
    client_id,
    functions_of,
)
from hypha_cluster.identity.names import check_client_id


def test_functions_have_commas_between() -> None:
    settings = FunctionSettings("a:b, ./c.py:d")

    assert functions_of(settings) == ["a:b", "./c.py:d"]
    assert Functions.needs_inner(settings)
    assert not Functions.needs_inner(FunctionSettings())


def test_none_is_there_twice() -> None:
    with pytest.raises(StartupError, match="a:b is there twice"):
        functions_of(FunctionSettings("a:b,a:b"))


@pytest.mark.parametrize("function", ["a:b", "./a b.py:offer_it", f"a:{'x' * 300}", "a:π"])
def test_each_has_a_client_id_that_is_the_same_everywhere(function: str) -> None:
    check_client_id(client_id(function))

    assert client_id(function) == client_id(function)
    assert client_id(function) != client_id(f"another.{function}")
