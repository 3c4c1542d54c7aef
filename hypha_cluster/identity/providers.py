"""The hub as a client of OpenID Connect issuers: authorization code with PKCE."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from hypha_cluster.errors import InvalidToken, PermissionDenied, ProviderFailed
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.fetching import Fetcher, FetchFailed, NoDocument
from hypha_cluster.identity.names import check_workspace_name
from hypha_cluster.identity.openid import ES256, RS256, OpenIdKeys
from hypha_cluster.identity.signed import claims_of, header_of, text_of, user_of
from hypha_cluster.supervision import Supervisor

_KNOWN: Final = 600.0  # seconds that a discovery document is used
_LEEWAY: Final = 30.0  # seconds by which an issuer's clock may be ahead


@dataclass(frozen=True, slots=True, repr=False)
class ProviderSettings:
    """An issuer that users sign in with, and what the hub is called there.

    roles_claim: where a token says the roles of its user, with dots between the keys of maps.
    trust_email: whether to accept e-mail addresses that the issuer does not call verified.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = ""
    scopes: str = "openid profile email"
    email_claim: str = "email"
    roles_claim: str = "roles"
    trust_email: bool = False


class Request(NamedTuple):
    """What the hub sends along when it asks who somebody is, and must find in the answer."""

    nonce: str
    verifier: str
    redirect_uri: str


def new_secret() -> str:
    """A nonce, or a verifier of PKCE."""
    return secrets.token_urlsafe(32)


class Provider:
    """Sends browsers to an issuer, and finds out who has come back."""

    def __init__(
        self,
        settings: ProviderSettings,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._keys = OpenIdKeys(settings.issuer, supervisor, clock)
        self._clock = clock
        self._about: dict[str, Any] = {}
        self._stale_at = float("-inf")

    async def stop(self) -> None:
        await self._keys.stop()

    async def address(self, request: Request, state: str) -> str:
        """Where the browser goes to sign in; ProviderFailed."""
        endpoint = await self.endpoint("authorization_endpoint")
        digest = hashlib.sha256(request.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": request.redirect_uri,
            "scope": self.settings.scopes,
            "state": state,
            "nonce": request.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def identify(self, code: str, request: Request) -> Identity:
        """Who has come back with a code.

        ProviderFailed when the issuer does not say it, InvalidToken when what it says is not for
        this hub, PermissionDenied when it has not verified the user's e-mail address.
        """
        async with self._fetcher() as fetcher:
            try:
                answer = await self._redeem(fetcher, code, request)
                claims = await self._claims(answer, request.nonce)
                if self.settings.email_claim not in claims:
                    claims |= await self._more(fetcher, answer, claims["sub"])
            except (FetchFailed, NoDocument) as error:
                raise ProviderFailed(f"{self.settings.name} does not say who you are.") from error
        return self._identity(claims)

    async def _redeem(self, fetcher: Fetcher, code: str, request: Request) -> dict[str, Any]:
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": request.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": request.verifier,
        }
        headers: dict[str, str] = {}
        if settings.client_secret and self._takes_basic():
            pair = f"{quote(settings.client_id, '')}:{quote(settings.client_secret, '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif settings.client_secret:
            form["client_secret"] = settings.client_secret
        return await fetcher.post(await self.endpoint("token_endpoint"), form, headers)

    def _takes_basic(self) -> bool:
        known = self._about.get("token_endpoint_auth_methods_supported")
        return not isinstance(known, list) or "client_secret_basic" in known

    async def _claims(self, answer: dict[str, Any], nonce: str) -> dict[str, Any]:
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NoDocument("the answer has no id_token")
        header = header_of(token)
        algorithm, kid = header.get("alg"), text_of(header, "kid")
        if algorithm not in (RS256, ES256):
            raise InvalidToken(f"Invalid token: it must be signed with {RS256} or {ES256}.")
        key, client = await self._keys.find(kid, algorithm), self.settings.client_id
        claims = claims_of(token, key, algorithm, client, self.settings.issuer, _LEEWAY)
        if not secrets.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise InvalidToken("Invalid token: it was made for another sign-in.")
        if claims.get("azp", client) != client:
            raise InvalidToken("Invalid token: it was made for another client.")
        return claims

    async def _more(self, fetcher: Fetcher, answer: dict[str, Any], subject: str) -> dict[str, Any]:
        """What the issuer says of a user only when it is asked again."""
        token = answer.get("access_token")
        if not isinstance(token, str) or "userinfo_endpoint" not in await self._discover():
            return {}
        endpoint = await self.endpoint("userinfo_endpoint")
        claims = await fetcher.get_with(endpoint, {"Authorization": f"Bearer {token}"})
        if claims.get("sub") != subject:
            raise InvalidToken(
                "Invalid token: what its issuer says of the user is about another user."
            )
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        email = _at(claims, self.settings.email_claim)
        if not isinstance(email, str) or "@" not in email:
            raise PermissionDenied(f"{self.settings.name} does not say your e-mail address.")
        if not self.settings.trust_email and claims.get("email_verified") not in (True, "true"):
            raise PermissionDenied(
                f"Your e-mail address {email} is not verified at {self.settings.name}; do that "
                "first."
            )
        roles = _at(claims, self.settings.roles_claim)
        known = [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
        user = user_of(claims)
        check_workspace_name(user)
        return Identity(user, is_anonymous=False, email=email, roles=tuple(known))

    # What the issuer is like.

    async def relay(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Post a form to the issuer's token endpoint; return the status and the JSON object."""
        async with self._fetcher() as fetcher:
            try:
                return await fetcher.relay(await self.endpoint("token_endpoint"), form)
            except (FetchFailed, NoDocument) as error:
                raise ProviderFailed(f"{self.settings.name} does not answer; try again.") from error

    def _fetcher(self) -> Fetcher:
        return Fetcher(secure=urlsplit(self.settings.issuer).scheme == "https")

    async def endpoint(self, name: str) -> str:
        """One of its addresses, by the name that discovery gives it; ProviderFailed."""
        endpoint = (await self._discover()).get(name)
        if not isinstance(endpoint, str):
            raise ProviderFailed(f"{self.settings.name} does not say where to go.")
        return endpoint

    async def _discover(self) -> dict[str, Any]:
        if self._clock() < self._stale_at:
            return self._about
        issuer = self.settings.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            async with self._fetcher() as fetcher:
                about = await fetcher.get(url)
        except (FetchFailed, NoDocument) as error:
            if self._about:
                return self._about  # better than nothing
            raise ProviderFailed(f"{self.settings.name} does not answer; try again.") from error
        if about.get("issuer") != issuer:
            raise ProviderFailed(f"{issuer} calls itself {about.get('issuer')!r}.")
        self._about, self._stale_at = about, self._clock() + _KNOWN
        return about


def _at(claims: dict[str, Any], path: str) -> Any:
    """The claim of this name; if there is none, the dots lead from map to map."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
