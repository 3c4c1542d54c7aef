"""The public keys of an OpenID Connect issuer, which its access tokens are verified with."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError
from jose.utils import base64_to_long

from hypha_cluster.errors import InvalidToken, StartupError
from hypha_cluster.identity.fetching import Fetcher, FetchFailed, NoDocument, check_issuer
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

RS256: Final = "RS256"
ES256: Final = "ES256"

_KEYS_LIFETIME: Final = 600.0  # seconds
# How long an issuer is left alone after it had no answer, or not the key that was asked for.
_PAUSE: Final = 10.0  # seconds
_PATIENCE: Final = 12.0  # seconds, for all documents
_MIN_RSA_SIZE, _MAX_RSA_SIZE = 2_048, 16_384  # bits

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
            check_issuer(issuer)
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
        """Give up what is being fetched."""
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
                keys = await _fetch_keys(self.issuer)
        except (FetchFailed, NoDocument, OSError) as error:
            # The keys that were fetched before stay in use.
            _log.warning(
                "The keys of %s cannot be fetched: %s", self.issuer, str(error) or "timeout"
            )
            self._pause()
            return
        self._keys = keys
        self._stale_at = self._clock() + _KEYS_LIFETIME


async def _fetch_keys(issuer: str) -> _Keys:
    """Ask the issuer for its keys."""
    base = issuer.rstrip("/")
    async with Fetcher(secure=urlsplit(issuer).scheme == "https") as fetcher:
        try:
            about = await fetcher.get(f"{base}/.well-known/openid-configuration")
        except NoDocument:
            about = {"issuer": issuer, "jwks_uri": f"{base}/.well-known/jwks.json"}
        if about.get("issuer") != issuer:
            raise NoDocument(f"it calls itself {about.get('issuer')!r}; configure it by that name")
        address = str(about.get("jwks_uri"))
        keys = _usable((await fetcher.get(address)).get("keys"))
    if not keys:
        raise NoDocument(f"{address} has no RSA or P-256 key to verify signatures with")
    return keys


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
