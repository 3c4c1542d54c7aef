"""Browsers: their cookies, the forms that they send, and who has signed in with them."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from hypha_cluster.errors import BadRequest, InvalidToken, PermissionDenied
from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.login.terms import SESSION_LIFETIME
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.protocol.limits import FORM, PAGE_TOKEN, REVOCATIONS
from hypha_cluster.registry.logins import Logins
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.web.bodies import Room, read_body
from hypha_cluster.web.forms import URLENCODED
from hypha_cluster.web.headers import header, media_type
from hypha_cluster.web.lookup import base_url_of

_FIELDS: Final = 50  # more than any form of a page has


class Signed(NamedTuple):
    """Who has signed in, and the secret in their cookie."""

    identity: Identity
    secret: str

    @property
    def csrf(self) -> str:
        """The secret in each form of theirs, which no other page can know."""
        return hmac.digest(self.secret.encode(), b"forms", "sha256").hex()


class Cookie:
    """One cookie of the hub: with TLS for this host alone, and never for scripts."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, request: HTTPConnection, *, secure: bool) -> str:
        return request.cookies.get(self._full_name(secure), "")

    def write(self, response: Response, value: str, lifetime: float, *, secure: bool) -> None:
        """lifetime: seconds; 0 takes the cookie away."""
        response.set_cookie(
            self._full_name(secure),
            value,
            max_age=int(lifetime),
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )

    def _full_name(self, secure: bool) -> str:
        # Browsers take a name with this prefix from this very host only, and only by https.
        return f"__Host-{self._name}" if secure else self._name


SESSION: Final = Cookie("hypha")
AWAY: Final = Cookie("hypha-away")


class Opener(Enum):
    """Who asks for a page, as the browser says: no script can claim to be a person.

    SCRIPT: what a script fetches, a frame, a form that is posted, a WebSocket. UNSAID: the browser
    does not say it, because there is neither https nor localhost.
    """

    PERSON = auto()
    SCRIPT = auto()
    UNSAID = auto()

    @classmethod
    def of(cls, connection: HTTPConnection) -> "Opener":
        mode, place = header(connection, b"sec-fetch-mode"), header(connection, b"sec-fetch-dest")
        is_reading = connection.scope.get("method") in ("GET", "HEAD")
        if not is_reading or mode not in ("", "navigate") or place not in ("", "document"):
            return cls.SCRIPT
        return cls.PERSON if mode and place else cls.UNSAID


def cookie_of(connection: HTTPConnection, *, secure: bool) -> str:
    """The secret in the cookie of whoever has signed in, if a person opens a page with it."""
    is_person = Opener.of(connection) is Opener.PERSON
    return SESSION.read(connection, secure=secure) if is_person else ""


class Browsers:
    """Says who has signed in with a browser, and reads the forms that it sends."""

    def __init__(
        self, logins: Logins, revocations: Revocations, public_base_url: str, lifetime: float
    ) -> None:
        self._logins = logins
        self._revocations = revocations
        self._public_base_url = public_base_url
        self._lifetime = lifetime
        self._room = Room()

    @classmethod
    def of(cls, grounds: Grounds) -> Self:
        """Those of a feature."""
        logins = Logins(grounds.redis, grounds.keys, SESSION_LIFETIME)
        return cls(logins, grounds.revocations, grounds.public_base_url, SESSION_LIFETIME)

    def base_url(self, connection: HTTPConnection) -> str:
        """The address by which the browser reaches the hub, without a slash at its end."""
        return self._public_base_url or base_url_of(connection)

    def root(self, request: Request) -> str:
        """What the paths of links begin with."""
        return urlsplit(self.base_url(request)).path

    def is_secure(self, connection: HTTPConnection) -> bool:
        return self.base_url(connection).startswith("https:")

    async def signed_in(self, request: Request) -> Signed | None:
        """Who has signed in; None also when a script of another page asks, which might read it."""
        secret = SESSION.read(request, secure=self.is_secure(request))
        if not self._is_own(request):
            return None
        try:
            return await self._signed(secret)
        except InvalidToken:
            return None

    async def visitor(self, connection: HTTPConnection) -> Identity | None:
        """Which person opens a page, if one does who has signed in.

        InvalidToken for whoever is shut out.
        """
        signed = await self._signed(cookie_of(connection, secure=self.is_secure(connection)))
        return signed.identity if signed else None

    async def _signed(self, secret: str) -> Signed | None:
        identity = await self._logins.remembered(secret) if secret else None
        return Signed(self._revocations.book.admit(identity), secret) if identity else None

    async def sign_in(self, request: Request, response: Response, identity: Identity) -> None:
        """Give the browser a new cookie, whatever it had before."""
        secret = await self._logins.remember(identity, self._lifetime)
        SESSION.write(response, secret, self._lifetime, secure=self.is_secure(request))

    async def sign_out(self, request: Request, response: Response) -> None:
        """Take the cookie away, and end the tokens of pages that are still open."""
        if secret := SESSION.read(request, secure=self.is_secure(request)):
            await self._end_pages(await self._logins.remembered(secret))
            await self._logins.forget(secret)
        SESSION.write(response, "", 0, secure=self.is_secure(request))

    async def _end_pages(self, identity: Identity | None) -> None:
        if identity and identity.origin and len(self._revocations.book) < REVOCATIONS:
            now = time.time()
            ended = Revocation.of_token(identity.origin.token, now + PAGE_TOKEN, now)
            await self._revocations.note(ended)

    async def form(self, request: Request, signed: Signed | None = None) -> Mapping[str, str]:
        """The fields that a page of the hub's own has sent.

        PermissionDenied when it comes from another page: that shows in what the browser says and,
        for whoever has signed in, in the secret that only the hub's own pages know.
        """
        if not self._is_own(request) or request.headers.get("sec-fetch-site") == "cross-site":
            raise PermissionDenied("This form is from another page.")
        fields = await read_form(request, self._room)
        if signed and not hmac.compare_digest(
            fields.get("csrf", "").encode(), signed.csrf.encode()
        ):
            raise PermissionDenied("This form is from another page, or too old; load it again.")
        return fields

    def _is_own(self, request: Request) -> bool:
        """Whether a page of the hub's own asks, or a person who opens an address."""
        headers, own = request.headers, urlsplit(self.base_url(request))
        if headers.get("origin") not in (None, f"{own.scheme}://{own.netloc}"):
            return False
        is_visit = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        return is_visit or headers.get("sec-fetch-site") in (None, "same-origin", "none")


async def read_form(request: Request, room: Room) -> dict[str, str]:
    """The fields that were sent, as text; BadRequest."""
    if media_type(request) != URLENCODED:
        raise BadRequest(f"A form is sent as {URLENCODED}.")
    with room.lease() as lease:
        body = bytes(await read_body(request, lease, FORM))
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError:
        raise BadRequest("The form cannot be read.") from None


def digest_of(secret: str) -> str:
    """What is kept of a secret that only a browser has."""
    return hashlib.sha256(secret.encode()).hexdigest()
