"""Which dialect a client speaks is known by how it connects."""

from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.dialects.known import DIALECTS, spoken_with


def test_who_says_in_the_query_who_it_is_speaks_imjoy_rpc() -> None:
    assert spoken_with(b"client_id=me") is IMJOY


def test_who_says_nothing_speaks_none_that_is_known() -> None:
    assert spoken_with(b"") is None


def test_each_has_a_name_of_its_own() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
