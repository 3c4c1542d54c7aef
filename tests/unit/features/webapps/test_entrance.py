"""Who asks for an application: whom a token speaks for, or nobody; a strange token is no error."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import HTTPConnection

from hypha_cluster.errors import InvalidToken
from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.features.webapps.entrance import Entrance
from hypha_cluster.identity.access import Identity
from hypha_cluster.web.lookup import Lookup

ANN, BOB, NOBODY = Identity("ann"), Identity("bob"), Identity("nobody")
TOKENS = {"ann's": ANN, "bob's": BOB}


class Scene:
    """A hub that knows some tokens, and whom ann may visit; the browser is that of `person`."""

    def __init__(self, person: Identity | InvalidToken | None = None, public: str = "") -> None:
        self.person = person
        self.counted: list[Identity | None] = []
        self.grounds = SimpleNamespace(
            gatekeeper=self, workspaces=self, public_base_url=public, redis=None, keys=None
        )
        self.grounds.revocations = None

    async def identify(self, token: str | None) -> Identity:
        if token is None:
            return NOBODY
        if token not in TOKENS:
            raise InvalidToken("It is none of the hub's.")
        return TOKENS[token]

    def count(self, connection: HTTPConnection, user: Identity | None) -> None:
        self.counted.append(user)

    async def may_use_lately(self, identity: Identity, workspace: str) -> bool:
        return identity.id == workspace

    async def visitor(self, connection: HTTPConnection) -> Identity | None:
        if isinstance(self.person, InvalidToken):
            raise self.person
        return self.person


@pytest.fixture
def entrance(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(scene: Scene) -> Entrance:
        monkeypatch.setattr(Browsers, "of", lambda grounds: scene)
        return Entrance(cast(Grounds, scene.grounds), cast(Lookup, scene))

    return make


def asked(authorization: str = "", root_path: str = "/ann/apps/s") -> HTTPConnection:
    headers = [(b"host", b"hub"), (b"authorization", authorization.encode())]
    return HTTPConnection(
        {
            **{"type": "http", "method": "GET", "scheme": "http", "path": "/ann/apps/s/"},
            **{"root_path": root_path, "headers": headers},
        }
    )


@pytest.mark.parametrize(("token", "user", "inside"), [("ann's", ANN, True), ("bob's", BOB, False)])
async def test_a_token_says_who_asks_and_whether_they_are_at_home(
    entrance: Any, token: str, user: Identity, inside: bool
) -> None:
    scene = Scene(person=BOB)  # whose cookie does not count beside a token

    guest = await entrance(scene).admit(asked(f"Bearer {token}"), "ann")

    assert (guest.user, guest.visitor.identity, guest.visitor.inside) == (user, user, inside)
    assert guest.refusal is None
    assert scene.counted == [user]


@pytest.mark.parametrize("person", [None, ANN])
async def test_without_a_token_it_is_the_person_who_opens_the_page(
    entrance: Any, person: Identity | None
) -> None:
    scene = Scene(person)

    guest = await entrance(scene).admit(asked(), "ann")

    assert (guest.user, guest.visitor.identity) == (person, person or NOBODY)
    assert guest.visitor.inside is (person is ANN)
    assert scene.counted == [person]


@pytest.mark.parametrize(
    ("person", "authorization"),
    [(None, "Bearer the application's own"), (InvalidToken("Ann is shut out."), "")],
)
async def test_what_the_hub_does_not_take_is_kept_for_who_needs_it(
    entrance: Any, person: InvalidToken | None, authorization: str
) -> None:
    """An application has tokens of its own; functions of services refuse by what was wrong."""
    scene = Scene(person)

    guest = await entrance(scene).admit(asked(authorization), "ann")

    assert (guest.user, guest.visitor.identity) == (None, NOBODY)
    assert isinstance(guest.refusal, InvalidToken)
    assert scene.counted == [None]


@pytest.mark.parametrize(
    ("public", "root_path", "base_url"),
    [
        ("", "/ann/apps/s", "http://hub"),
        ("", "/base/ann/apps/s", "http://hub/base"),
        ("https://elsewhere", "/base/ann/apps/s", "https://elsewhere"),
    ],
)
async def test_the_hub_is_where_the_application_is(
    entrance: Any, public: str, root_path: str, base_url: str
) -> None:
    guest = await entrance(Scene(public=public)).admit(asked(root_path=root_path), "ann")

    assert guest.visitor.base_url == base_url
