"""Who looks at a page: by the cookie of the login page, or by a token in a header."""

from typing import Final, NamedTuple

from starlette.requests import Request

from hypha_cluster.errors import PermissionDenied, WorkspaceNotFound
from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.login.browser import Browsers, Opener
from hypha_cluster.identity.access import Identity
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import token_of

_HINT: Final = (
    "You have logged in, but your browser does not say whether you or a script asks for this page, "
    "so you see what everybody sees. Browsers say it where the hub has an address with https."
)


class Looker(NamedTuple):
    """Who looks at a page.

    identity: somebody new if they have not logged in. is_known: whether they have logged in.
    hint: why the page does not know them although they have a cookie; else empty. token: that with
    which the page's script calls; empty for whoever is not known, and for whoever came with a token
    in a header, which they could renew by it for ever.
    """

    identity: Identity
    is_known: bool
    token: str = ""
    hint: str = ""


class Lookers:
    """Finds out who looks at a page, and by which address they reach the hub."""

    def __init__(self, grounds: Grounds) -> None:
        self._gatekeeper = grounds.gatekeeper
        self._tokens = grounds.tokens
        self._workspaces = grounds.workspaces
        self._browsers = Browsers.of(grounds)

    def base_url(self, request: Request) -> str:
        return self._browsers.base_url(request)

    def root(self, request: Request) -> str:
        """What the paths of links begin with."""
        return self._browsers.root(request).rstrip("/")

    async def identify(self, request: Request) -> Looker:
        """Who looks. A cookie counts for what a person opens, not for what a page fetches.

        InvalidToken for a token that does not hold. Somebody without a token may look at what
        everybody may see, even where `--anonymous` lets them do nothing else.
        """
        if token := token_of(header(request, b"authorization")):
            return Looker(await self._gatekeeper.identify(token), is_known=True)
        opener = Opener.of(request)
        if opener is not Opener.SCRIPT and (signed := await self._browsers.signed_in(request)):
            return self._known(signed.identity) if opener is Opener.PERSON else self._unsure()
        return Looker(self._gatekeeper.guest(), is_known=False)

    async def may_enter(self, looker: Looker, workspace: str) -> bool:
        """Whether they see all of a workspace; WorkspaceNotFound."""
        try:
            return await self._workspaces.may_use_lately(looker.identity, workspace)
        except WorkspaceNotFound:
            if looker.is_known and workspace == looker.identity.id:
                return True  # a user's own workspace is made when it is first needed
            raise

    def _unsure(self) -> Looker:
        return Looker(self._gatekeeper.guest(), is_known=False, hint=_HINT)

    def _known(self, identity: Identity) -> Looker:
        try:
            return Looker(identity, is_known=True, token=self._tokens.issue_for_page(identity))
        except PermissionDenied:  # what they signed in with has ended meanwhile
            return Looker(self._gatekeeper.guest(), is_known=False)
