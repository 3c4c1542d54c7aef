"""Who asks for a web application: by a token in a header, or by the cookie of the login page.

All applications are under one origin. So a page of one application could fetch another one with the
cookie of the person who looks at it. Therefore the cookie counts only where a person goes to a
page, which no script can claim; what that page fetches then needs a token in a header.
"""

from typing import NamedTuple

from starlette.requests import HTTPConnection

from hypha_cluster.errors import InvalidToken
from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.hub.visiting import Visitor
from hypha_cluster.identity.access import Identity
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import Lookup, base_url_of, token_of


class Guest(NamedTuple):
    """Who asks. user: None without a token. refusal: what is wrong with the token."""

    visitor: Visitor
    user: Identity | None
    refusal: InvalidToken | None


class Entrance:
    """Finds out who asks for the applications of a workspace."""

    def __init__(self, grounds: Grounds, lookup: Lookup) -> None:
        self._gatekeeper = grounds.gatekeeper
        self._lookup = lookup
        self._browsers = Browsers.of(grounds)
        self._workspaces = grounds.workspaces
        self._public_base_url = grounds.public_base_url

    async def admit(self, connection: HTTPConnection, workspace: str) -> Guest:
        """Say who asks; a foreign token is no error, as an application may have its own."""
        user, refusal = None, None
        try:
            user = await self._user(connection)
        except InvalidToken as error:
            refusal = error
        mail = self._lookup.count(connection, user)
        identity = user or await self._gatekeeper.identify(None)
        inside = await self._workspaces.may_use_lately(identity, workspace)
        base_path = connection.scope["root_path"].rsplit("/", 3)[0]
        base_url = self._public_base_url or base_url_of(connection, base_path)
        return Guest(Visitor(identity, inside, base_url, mail=mail), user, refusal)

    async def _user(self, connection: HTTPConnection) -> Identity | None:
        """Whom a header or the cookie speaks for; InvalidToken."""
        if token := token_of(header(connection, b"authorization")):
            return await self._gatekeeper.identify(token)
        return await self._browsers.visitor(connection)
