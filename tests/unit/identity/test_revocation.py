"""What holds no longer, and whom that concerns."""

import pytest

from hypha_cluster.errors import BadRequest, InvalidToken
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.revocation import FOR_GOOD, Revocation, RevocationBook

NOW = 1_000.0


def user(
    name: str, token: str = "t", made_at: float = NOW, makers: tuple[str, ...] = ()
) -> Identity:
    return Identity(name, origin=Origin(token, made_at, makers))


def child(made_at: float = NOW, *scopes: str, makers: tuple[str, ...] = ()) -> Identity:
    origin = Origin("c", made_at, makers)
    return Identity("child", parent="ann", scopes=scopes, origin=origin)


def book(*revocations: Revocation) -> RevocationBook:
    book = RevocationBook()
    book.replace({revocation.key: revocation for revocation in revocations})
    return book


def test_what_nobody_revoked_holds() -> None:
    for identity in (user("ann"), child(NOW, "lab"), Identity("nobody")):
        assert book().admit(identity) is identity
        assert book(Revocation.of_token("other", None, NOW)).admit(identity) is identity


@pytest.mark.parametrize(
    "identity", [user("ann", "a"), child(makers=("a",)), child(makers=("z", "a", "b"))]
)
def test_a_token_is_revoked_with_all_that_were_made_with_it(identity: Identity) -> None:
    revoked = book(Revocation.of_token("a", NOW + 60, NOW))

    assert revoked.is_revoked(identity)
    with pytest.raises(InvalidToken, match="has been revoked"):
        revoked.admit(identity)


def test_the_maker_of_a_revoked_token_keeps_their_own() -> None:
    revoked = book(Revocation.of_token("c", NOW + 60, NOW))

    assert revoked.admit(user("ann", "a")) == user("ann", "a")


@pytest.mark.parametrize(("made_at", "holds"), [(NOW - 1, False), (NOW, True), (NOW + 1, True)])
def test_a_users_tokens_are_revoked_that_were_made_before(made_at: float, holds: bool) -> None:
    revoked = book(Revocation.of_user("ann", NOW, NOW))

    assert revoked.is_revoked(user("ann", made_at=made_at)) != holds
    assert revoked.is_revoked(child(made_at)) != holds
    assert not revoked.is_revoked(user("bob", made_at=made_at))


def test_who_is_shut_out_has_no_later_token_either() -> None:
    assert book(Revocation.of_user("ann", FOR_GOOD, NOW)).is_revoked(user("ann", made_at=NOW * 9))


def test_who_came_without_a_token_goes_with_their_name() -> None:
    assert book(Revocation.of_user("nobody", NOW, NOW)).is_revoked(Identity("nobody"))


@pytest.mark.parametrize(
    ("made_at", "left"), [(NOW - 1, ("shed",)), (NOW, ("lab", "shed")), (0.0, ("shed",))]
)
def test_tokens_for_a_workspace_lose_it_and_keep_the_rest(
    made_at: float, left: tuple[str, ...]
) -> None:
    revoked = book(Revocation.of_workspace("lab", NOW, NOW))

    assert revoked.admit(child(made_at, "lab", "shed")).scopes == left
    assert not revoked.is_revoked(child(made_at, "lab", "shed"))


@pytest.mark.parametrize(
    ("revocation", "until"),
    [
        (Revocation.of_token("a", NOW + 60, NOW), NOW + 60),
        (Revocation.of_token("a", None, NOW), NOW + 10 * 365 * 86_400),
        (Revocation.of_user("ann", NOW, NOW), NOW + 10 * 365 * 86_400),
    ],
)
def test_an_entry_is_kept_while_a_token_could_hold(revocation: Revocation, until: float) -> None:
    assert revocation.until == until


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_what_is_revoked_has_a_name(name: str) -> None:
    with pytest.raises(BadRequest, match="has a name of"):
        Revocation.of_user(name, NOW, NOW)


def test_the_hub_itself_is_not_revoked() -> None:
    with pytest.raises(BadRequest):
        Revocation.of_user("root", NOW, NOW)


def test_a_client_is_kicked_once_and_may_come_back() -> None:
    book = RevocationBook()
    kicked = Revocation.of_client("ws/worker", 100.0)
    book.replace({kicked.key: kicked})

    assert book.is_kicked("ws/worker", attached_at=99.0)
    assert not book.is_kicked("ws/worker", attached_at=101.0)
    assert not book.is_kicked("ws/other", attached_at=99.0)
    assert kicked.until == 160.0
