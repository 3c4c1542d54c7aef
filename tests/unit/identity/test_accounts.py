"""Accounts and their passwords."""

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.accounts import Account, Passwords, check_password

ANN = Account("ann", "ann@example.org", ("admin",), made=5.0)


def test_an_account_is_a_user() -> None:
    assert ANN.identity() == Identity("ann", False, "ann@example.org", ("admin",))


def test_an_account_survives_being_kept() -> None:
    assert Account.from_json(ANN.to_json()) == ANN


def test_an_account_does_not_show_its_password() -> None:
    assert "hush" not in repr(Account("ann", "ann@example.org", password="hush"))


@pytest.mark.parametrize("name", ["", "root", "public", "a@b", "a/b", "a b", "~x", "x" * 257])
def test_what_cannot_be_a_workspace_is_no_name(name: str) -> None:
    with pytest.raises(BadRequest):
        Account(name, "ann@example.org")


@pytest.mark.parametrize(
    "email", ["", "ann", "@", "a@", "@b", "a b@c", "a@b@c", "a\n@b", "x" * 257]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(BadRequest, match="no e-mail address"):
        Account("ann", email)


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 257, "aaaaaaaa", "abababab", "ann-as-a-name"]
)
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_password(password, "ann-as-a-name")

    assert not password or password not in str(refused.value)


def test_a_long_password_is_one() -> None:
    check_password("correct horse", "ann")


async def test_a_password_fits_its_account_only() -> None:
    passwords = Passwords()
    account = Account("ann", "ann@example.org", password=await passwords.hashed("correct horse"))

    assert await passwords.fits("correct horse", account)
    assert not await passwords.fits("wrong horse", account)
    assert not await passwords.fits("correct horse", None)
    assert not await passwords.fits("", Account("bob", "bob@example.org"))
    assert not await passwords.fits("x" * 1_000_000, account)
    assert "correct" not in account.password
