"""Who may enter a workspace, and what names there may be."""

from dataclasses import replace

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.identity.access import (
    PUBLIC,
    ROOT,
    Identity,
    Workspace,
    may_enter,
    may_hand_on,
    may_oversee,
    own_workspace,
    owns,
)

ANN = Identity("ann", is_anonymous=False, email="ann@example.org")
NOBODY = Identity("nobody")
LAB = Workspace("lab", owners=["ann@example.org"])


def test_an_identity_survives_the_wire() -> None:
    identity = Identity("c", False, "c@x", ("a", "b"), "ann", ("lab",), 5.0)

    assert Identity.from_wire(identity.to_wire()) == identity
    assert Identity.from_wire(NOBODY.to_wire()) == NOBODY


def test_a_workspace_survives_the_wire() -> None:
    assert Workspace.from_wire(LAB.to_wire()) == LAB


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, "needs a name"),
        ({"name": 5}, "'name'"),
        ({"name": "a", "colour": "red"}, "has no 'colour'"),
        ({"name": "a", "_x": 1}, "has no '_x'"),
        ({"name": "a", "owners": "ann"}, "'owners'"),
        ({"name": "a", "persistent": 1}, "'persistent'"),
        ({"name": "a", "visibility": "secret"}, "visibility is"),
        ({"name": "a", "applications": []}, "'applications'"),
    ],
)
def test_a_workspace_has_only_what_workspaces_have(
    config: dict[str, object], complaint: str
) -> None:
    with pytest.raises(BadRequest, match=complaint):
        Workspace.from_wire(config)


# One's own.


def test_an_anonymous_user_has_a_workspace_for_a_while() -> None:
    workspace = own_workspace(NOBODY)

    assert (workspace.name, workspace.owners) == ("nobody", ["nobody"])
    assert workspace.read_only
    assert not workspace.persistent


def test_a_user_with_an_address_has_a_workspace_for_good() -> None:
    assert own_workspace(ANN).persistent
    assert not own_workspace(replace(ANN, roles=("temporary",))).persistent


@pytest.mark.parametrize("user", [ANN, NOBODY, ROOT])
def test_a_user_may_enter_their_own_workspace(user: Identity) -> None:
    assert may_enter(user, own_workspace(user))


# Others'.


@pytest.mark.parametrize(
    ("user", "workspace", "welcome"),
    [
        (ROOT, LAB, True),
        (ANN, LAB, True),
        (ANN, Workspace("lab", owners=["ann"]), True),
        (NOBODY, LAB, False),
        (NOBODY, Workspace("lab", owners=["nobody"]), True),
        (Identity("bob", False, "bob@x"), LAB, False),
        (Identity("bob", False, "bob@x", roles=("admin",)), LAB, True),
        (NOBODY, Workspace("lab", allow_list=["nobody"]), True),
        (NOBODY, Workspace("lab", allow_list=[]), False),
        (NOBODY, Workspace("lab", visibility="public"), False),
        (NOBODY, Workspace("lab", visibility="public", deny_list=[]), False),
        (ANN, Workspace("lab", visibility="public", deny_list=[]), False),
        (ANN, Workspace("lab", ["ann"], visibility="public", deny_list=[]), True),
        (ANN, Workspace("lab", visibility="public", allow_list=["ann@example.org"]), False),
        (Identity("bob", roles=("admin",)), Workspace("lab", visibility="public"), True),
        (NOBODY, Workspace("lab", visibility="public", deny_list=["bob"]), True),
        (NOBODY, Workspace("lab", visibility="public", deny_list=["nobody"]), False),
        (ANN, Workspace("lab", visibility="public", deny_list=["ann@example.org"]), False),
        (NOBODY, Workspace(PUBLIC, visibility="public"), False),
        (ANN, Workspace(PUBLIC, visibility="public"), False),
    ],
)
def test_who_is_welcome(user: Identity, workspace: Workspace, welcome: bool) -> None:
    assert may_enter(user, workspace) == welcome


# With a token from somebody else.


@pytest.mark.parametrize("deny_list", [None, [], ["x"]])
def test_a_child_may_enter_a_public_workspace_that_its_token_is_for(
    deny_list: list[str] | None,
) -> None:
    square = Workspace("lab", owners=["ann"], visibility="public", deny_list=deny_list)

    assert may_enter(CHILD, square, ANN)


CHILD = Identity("child", parent="ann", scopes=("lab",))


def test_a_child_may_enter_what_its_token_is_for() -> None:
    assert may_enter(CHILD, LAB, ANN)


def test_a_child_may_enter_nothing_else() -> None:
    assert not may_enter(CHILD, Workspace("other", owners=["ann"]), ANN)


@pytest.mark.parametrize("parent", [None, NOBODY])
def test_a_child_may_not_enter_what_its_parent_may_not(parent: Identity | None) -> None:
    assert not may_enter(CHILD, LAB, parent)


def test_an_address_in_a_token_opens_nothing_that_the_parent_may_not_enter() -> None:
    child = replace(CHILD, email="bob@example.org", scopes=())

    assert not may_enter(child, Workspace("bobs", owners=["bob@example.org"]), ANN)


def test_a_child_is_at_home_in_its_own_workspace() -> None:
    assert may_enter(CHILD, own_workspace(CHILD))


def test_nobody_is_root_by_name_of_parent_unless_the_hub_signed_it() -> None:
    """`root` signs nothing that clients get, so who has it for a parent is the hub's own."""
    assert may_enter(Identity("x", parent="root"), LAB)


# Admins, and what they hand on.

BOSS = Identity("boss", False, "boss@example.org", roles=("admin", "curator"))
DEPUTY = Identity("deputy", roles=("admin", "curator"), parent="boss", scopes=("lab",))


def test_an_admin_is_one_everywhere() -> None:
    assert may_enter(BOSS, LAB)
    assert owns(BOSS, LAB)
    assert may_oversee(BOSS)
    assert BOSS.seen_in("lab") is BOSS


def test_a_token_that_an_admin_made_is_an_admins_where_it_is_for() -> None:
    assert may_enter(DEPUTY, LAB, BOSS)
    assert owns(DEPUTY, LAB, BOSS)
    assert DEPUTY.seen_in("lab") is DEPUTY


@pytest.mark.parametrize("visibility", ["protected", "public"])
def test_a_token_that_an_admin_made_is_nobodys_elsewhere(visibility: str) -> None:
    other = Workspace("other", owners=["ann@example.org"], visibility=visibility, deny_list=["x"])

    assert may_enter(DEPUTY, other, BOSS) == (visibility == "public")
    assert not owns(DEPUTY, other, BOSS)
    assert not may_oversee(DEPUTY)
    assert DEPUTY.seen_in("other").roles == ("curator",)
    assert replace(DEPUTY.seen_in("other"), roles=DEPUTY.roles) == DEPUTY


def test_a_token_that_the_hub_itself_made_is_not_narrowed() -> None:
    assert Identity("x", parent="root", roles=("admin",)).seen_in("lab").roles == ("admin",)


# What a child hands on.


@pytest.mark.parametrize(
    ("workspace", "allowed"),
    [
        (LAB, True),
        (Workspace("child", owners=["child"]), True),
        (Workspace("made-by-the-child", owners=["child"]), True),
        (Workspace("its-makers", owners=["ann", "ann@example.org"]), False),
        (Workspace("open-to-all", ["ann"], visibility="public", deny_list=["x"]), False),
    ],
    ids=lambda value: value.name if isinstance(value, Workspace) else None,
)
def test_a_child_hands_on_what_it_was_given_and_what_is_its_own(
    workspace: Workspace, allowed: bool
) -> None:
    assert may_hand_on(CHILD, workspace) == allowed
    assert may_hand_on(ANN, workspace)


def test_a_child_hands_on_what_belongs_to_its_address() -> None:
    child = replace(CHILD, email=ANN.email)

    assert may_hand_on(child, Workspace("anns", owners=["ann@example.org"]))


@pytest.mark.parametrize(
    ("identity", "family"),
    [
        (Identity("ann"), "ann"),
        (Identity("c1", parent="ann"), "ann"),
        (Identity("c2", parent="root"), "c2"),  # the hub's own children have nothing in common
    ],
)
def test_a_maker_and_its_children_are_of_one_family(identity: Identity, family: str) -> None:
    assert identity.family == family
