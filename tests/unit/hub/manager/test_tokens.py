"""The functions of the manager by which clients let others in, and come back themselves."""

from typing import Any, cast

import pytest

from hypha_cluster.errors import BadRequest, PermissionDenied
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Place, Tokens
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connection import Connection
from tests.fakes import FakeSocket
from tests.unit.hub.test_context import ANN, FakeWorkspaces
from tests.unit.relay.test_connection import connection


class FakeTokens:
    """Notes what tokens are made of."""

    def __init__(self) -> None:
        self.children: list[tuple[str, dict[str, Any]]] = []
        self.places: list[Place] = []

    def issue_child(self, identity: Identity, config: dict[str, Any]) -> str:
        self.children.append((identity.id, config))
        return "child"

    def issue_reconnection(self, identity: Identity, place: Place) -> str:
        self.places.append(place)
        return "reconnection"


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def functions(tokens: FakeTokens) -> TokenFunctions:
    return TokenFunctions(cast(Tokens, tokens), reconnection_lifetime=3_600.0)


def context(identity: Identity = ANN, attached: Connection | None = None) -> Context:
    known = cast(Workspaces, FakeWorkspaces())
    return Context(
        "ann", "ann/me", identity, "ann", "http://hub", known, cast(Directory, None), attached
    )


async def test_a_token_is_for_the_workspace_it_is_made_in(
    functions: TokenFunctions, tokens: FakeTokens
) -> None:
    assert await functions.generate_token(context()) == "child"
    assert tokens.children == [("ann", {"scopes": ["ann"]})]


async def test_it_is_made_as_it_is_asked_for(functions: TokenFunctions, tokens: FakeTokens) -> None:
    await functions.generate_token(context(), {"scopes": ["open"], "expires_in": 60})

    assert tokens.children == [("ann", {"scopes": ["open"], "expires_in": 60})]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("scopes", "A token is made of scopes"),
        ({"scope": ["ann"]}, "not of 'scope'"),
        ({"scopes": "ann"}, "a list of workspace names"),
        ({"scopes": [1]}, "a list of workspace names"),
    ],
)
async def test_what_is_asked_wrongly_is_said(
    functions: TokenFunctions, tokens: FakeTokens, config: Any, says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        await functions.generate_token(context(), config)

    assert tokens.children == []


async def test_nobody_lets_others_in_where_they_may_not_enter(
    functions: TokenFunctions, tokens: FakeTokens
) -> None:
    with pytest.raises(PermissionDenied):
        await functions.generate_token(context(), {"scopes": ["ann", "bobs"]})

    assert tokens.children == []


async def test_a_client_learns_who_it_is_and_how_it_comes_back(
    functions: TokenFunctions, tokens: FakeTokens
) -> None:
    mine = connection(FakeSocket())
    mine.refreshed_at = 0.0

    info = await functions.get_connection_info(context(attached=mine))

    assert (info["workspace"], info["client_id"]) == ("ann", "me")
    assert info["user_info"]["id"] == "ann"
    assert (info["reconnection_token"], info["reconnection_expires_in"]) == ("reconnection", 3_600)
    assert tokens.places == [Place("ann", "me", mine.attachment.program)]
    assert mine.refreshed_at > 0.0


async def test_a_page_is_told_to_ask_again_sooner(functions: TokenFunctions) -> None:
    page = connection(FakeSocket(), refresh_after=7.5)

    info = await functions.get_connection_info(context(attached=page))

    assert info["reconnection_expires_in"] == 7.5


async def test_who_is_not_attached_comes_back_nowhere(functions: TokenFunctions) -> None:
    with pytest.raises(PermissionDenied):
        await functions.get_connection_info(context())
