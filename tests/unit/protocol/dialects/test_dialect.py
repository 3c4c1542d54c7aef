"""A dialect is chosen once, and stays what it is."""

from dataclasses import FrozenInstanceError, replace

import pytest

from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.dialects.known import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_nobody_changes_a_dialect(dialect: Dialect) -> None:
    with pytest.raises(FrozenInstanceError):
        dialect.manager = "somebody else"  # type: ignore[misc]  # which is what is tried


def test_a_dialect_is_itself_and_no_other() -> None:
    dialect = DIALECTS[0]

    assert replace(dialect) != dialect
    assert len({dialect, replace(dialect)}) == 2
