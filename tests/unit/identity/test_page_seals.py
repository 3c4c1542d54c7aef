import pytest

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.page_seals import PageSeals

SEALS = PageSeals("what gateways share")
PAGE = Identity("p", parent="ann", scopes=("ann",), origin=Origin("app:1", 5.0, ("made", "by")))


def test_what_a_gateway_has_sealed_another_one_opens() -> None:
    opened = PageSeals("what gateways share").open(SEALS.seal(PAGE).encode(), "ann")

    assert (opened, opened.origin) == (PAGE, PAGE.origin)


@pytest.mark.parametrize(
    "sealed",
    [
        b"",
        b"{}",
        PageSeals("something else").seal(PAGE).encode(),
        SEALS.seal(PAGE).replace("ann", "bob").encode(),
        SEALS.seal(PAGE)[64:].encode(),
        "é".encode() * 64,
    ],
)
def test_what_nobody_has_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(InvalidToken, match="No gateway has said who this page is"):
        SEALS.open(sealed, "bob")


def test_a_seal_is_for_one_workspace() -> None:
    with pytest.raises(InvalidToken, match="for another workspace"):
        SEALS.open(SEALS.seal(PAGE).encode(), "bob")
