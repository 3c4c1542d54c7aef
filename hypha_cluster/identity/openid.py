"""The public keys of an OpenID Connect issuer, which its access tokens are verified with."""

import asyncio
import ipaddress
import json
import logging
import ssl
import time
import urllib.error
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, Any, Final, NamedTuple
from urllib import request
from urllib.parse import urlsplit

from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError
from jose.utils import base64_to_long

from hypha_cluster.errors import InvalidToken, StartupError
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

RS256: Final = "RS256"
ES256: Final = "ES256"

_KEYS_LIFETIME: Final = 600.0  # seconds
# How long an issuer is left alone after it had no answer, or not the key that was asked for.
_PAUSE: Final = 10.0  # seconds
_ANSWER_TIME: Final = 5.0  # seconds, for one document
_PATIENCE: Final = 12.0  # seconds, for all of them
_MAX_DOCUMENT: Final = 262_144  # bytes
_MIN_RSA_SIZE, _MAX_RSA_SIZE = 2_048, 16_384  # bits
_HEADERS: Final = {"Accept": "application/json", "User-Agent": "hypha-cluster"}

# By type and curve. A key is used with its own algorithm only, whatever a token's header says.
_ALGORITHMS: Final[dict[tuple[str | None, str | None], str]] = {
    ("RSA", None): RS256,
    ("EC", "P-256"): ES256,
}
# What a public key consists of; anything else in the issuer's entry is left out.
_PARTS: Final = {RS256: ("kty", "n", "e"), ES256: ("kty", "crv", "x", "y")}


class _Name(NamedTuple):
    """What a token's header calls the key; the algorithm follows from the key's type."""

    kid: str | None
    algorithm: str


_Keys = dict[_Name, Key]


class _NoDocument(ValueError):
    """The issuer answered, but not with what is wanted."""


class OpenIdKeys:
    """Fetches an issuer's keys when they are needed, and keeps them while they serve."""

    def __init__(
        self, issuer: str, supervisor: Supervisor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.issuer = issuer
        self._clock = clock
        self._keys: _Keys = {}
        self._stale_at = self._paused_until = float("-inf")
        self._tasks = Tasks(supervisor)
        self._loading: asyncio.Task[None] | None = None
        try:
            _check_issuer(issuer)
        except ValueError as error:
            raise StartupError(f"The issuer of access tokens cannot be used: {error}") from None

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key of this id and type; without an id, the only one of this type."""
        key = self._known(kid, algorithm)
        stale = self._clock() >= self._stale_at
        if (key is None or stale) and self._clock() >= self._paused_until:
            await self._refresh()
            key = self._known(kid, algorithm)
            if key is None:
                # Only after a fetch: tokens with made-up ids must not prolong the pause.
                self._pause()
        if key is None:
            raise InvalidToken(self._unknown())
        return key

    async def stop(self) -> None:
        """Wait for nothing more."""
        await self._tasks.stop()

    def _known(self, kid: str | None, algorithm: str) -> Key | None:
        if kid is not None:
            return self._keys.get(_Name(kid, algorithm))
        fitting = [key for name, key in self._keys.items() if name.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _unknown(self) -> str:
        if self._keys:
            return f"The token is signed with a key that {self.issuer} does not have."
        return f"The token cannot be verified: {self.issuer} does not tell its keys at the moment."

    def _pause(self) -> None:
        self._paused_until = self._clock() + _PAUSE

    async def _refresh(self) -> None:
        """Fetch the keys, once for all who wait for them; each may give up waiting."""
        if self._loading is None or self._loading.done():
            self._loading = self._tasks.spawn("issuer's keys", self._load())
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                keys = await asyncio.to_thread(_fetch_keys, self.issuer)
        except (OSError, HTTPException, ValueError) as error:
            # The keys that were fetched before go on being used.
            _log.warning(
                "The keys of %s cannot be fetched: %s", self.issuer, str(error) or "timeout"
            )
            self._pause()
            return
        self._keys = keys
        self._stale_at = self._clock() + _KEYS_LIFETIME


def _check_issuer(issuer: str) -> None:
    parts = urlsplit(issuer)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("its address may only have a scheme, a host, a port and a path")
    _check_address(issuer, secure=False)


def _check_address(url: str, *, secure: bool) -> None:
    """Refuse what could be listened to or changed on its way. secure: not even on loopback."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if secure or parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise ValueError(f"{url!r} does not begin with https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fetch_keys(issuer: str) -> _Keys:
    """Ask the issuer for its keys; blocks."""
    secure = urlsplit(issuer).scheme == "https"
    opener, base = _opener(secure), issuer.rstrip("/")
    try:
        about = _fetch(opener, f"{base}/.well-known/openid-configuration")
    except _NoDocument:
        about = {"issuer": issuer, "jwks_uri": f"{base}/.well-known/jwks.json"}
    if about.get("issuer") != issuer:
        raise ValueError(f"it calls itself {about.get('issuer')!r}; configure it by that name")
    address = str(about.get("jwks_uri"))
    _check_address(address, secure=secure)
    keys = _usable(_fetch(opener, address).get("keys"))
    if not keys:
        raise ValueError(f"{address} has no RSA or P-256 key to verify signatures with")
    return keys


class _Redirects(request.HTTPRedirectHandler):
    """Follows only where the keys could have been fetched from in the first place."""

    def __init__(self, secure: bool) -> None:
        self._secure = secure

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        _check_address(newurl, secure=self._secure)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(secure: bool) -> request.OpenerDirector:
    # The default one opens ftp:, file: and data: as well.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(context=ssl.create_default_context()),
        request.UnknownHandler(),
        _Redirects(secure),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _fetch(opener: request.OpenerDirector, url: str) -> dict[str, Any]:
    asked = request.Request(url, headers=_HEADERS)
    try:
        response = opener.open(asked, timeout=_ANSWER_TIME)
    except urllib.error.HTTPError as error:
        error.close()
        raise _NoDocument(f"{url} answers with {error.code}") from None
    assert response is not None
    with response:
        text = _read(response, url)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _NoDocument(f"{url} is no JSON object")
    return document


def _read(response: HTTPResponse, url: str) -> bytes:
    """Read to the end; the socket's own time limit is for each piece only."""
    deadline, text = time.monotonic() + _ANSWER_TIME, b""
    while chunk := response.read1(_MAX_DOCUMENT):
        text += chunk
        if len(text) > _MAX_DOCUMENT:
            raise ValueError(f"{url} has more than {_MAX_DOCUMENT} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} takes more than {_ANSWER_TIME:g} s")
    return text


def _usable(entries: object) -> _Keys:
    keys: _Keys = {}
    for entry in entries if isinstance(entries, list) else ():
        try:
            algorithm = _algorithm(entry)
            if algorithm:
                keys[_Name(_text(entry, "kid"), algorithm)] = _key(entry, algorithm)
        except (JOSEError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("A key of an issuer is left out: %s", error)
    return keys


def _algorithm(entry: dict[str, Any]) -> str | None:
    """The one algorithm that a key may be used with, by its type; None: it is for another use."""
    kind = (_text(entry, "kty"), _text(entry, "crv"))
    algorithm = _ALGORITHMS.get(kind)
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    return algorithm if "verify" in entry.get("key_ops", ("verify",)) else None


def _key(entry: dict[str, Any], algorithm: str) -> Key:
    if algorithm == RS256:
        size = base64_to_long(str(entry["n"])).bit_length()
        if not _MIN_RSA_SIZE <= size <= _MAX_RSA_SIZE:
            raise ValueError(f"an RSA key of {size} bits is not safe")
    return jwk.construct({part: str(entry[part]) for part in _PARTS[algorithm]}, algorithm)


def _text(entry: dict[str, Any], part: str) -> str | None:
    value = entry.get(part)
    if not isinstance(value, str | None):
        raise TypeError(f"its {part!r} is no text")
    return value
