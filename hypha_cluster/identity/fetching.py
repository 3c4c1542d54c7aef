"""Documents of an OpenID Connect issuer: fetched by https, within seconds, of some kilobytes."""

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

ANSWER_TIME: Final = 5.0  # seconds, for one document with all its redirects
MAX_DOCUMENT: Final = 262_144  # bytes
_MAX_REDIRECTS: Final = 5
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # else a small answer could inflate to a huge document
    "User-Agent": "hypha-cluster",
}


class NoDocument(ValueError):
    """The issuer answered, but not with what is wanted."""


class FetchFailed(Exception):
    """The issuer did not answer as it should; the text says what happened, and no secret."""


class Fetcher:
    """Fetches JSON objects; a context, in which its connections are open.

    secure: by https only; else also by http, from this very machine. Raises FetchFailed, or
    NoDocument when there was an answer of another kind.
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._client: httpx2.AsyncClient

    async def __aenter__(self) -> Self:
        # It reads all certificates that this machine trusts, which takes a while.
        context = await asyncio.to_thread(ssl.create_default_context)
        self._client = httpx2.AsyncClient(verify=context, headers=_HEADERS, timeout=ANSWER_TIME)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, url: str) -> dict[str, Any]:
        """The object at an address, or where that leads to by redirects."""
        return await self._fetch(self._client.build_request("GET", self._checked(url)))

    async def get_with(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """The object at an address, for whoever has the secret in these headers; no redirects."""
        request = self._client.build_request("GET", self._checked(url), headers=dict(headers))
        return await self._fetch(request, redirects=0)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """What a form is answered with, which may hold secrets; so it follows no redirect."""
        request = self._client.build_request(
            "POST", self._checked(url), data=dict(form), headers=dict(headers)
        )
        return await self._fetch(request, redirects=0)

    async def relay(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The status and the object that a form is answered with, also where it is refused."""
        request = self._client.build_request("POST", self._checked(url), data=dict(form))
        async with _within(url):
            response = await self._client.send(request, stream=True)
            try:
                return response.status_code, _object(await _body(response), url)
            finally:
                await response.aclose()

    def _checked(self, url: str) -> str:
        try:
            check_address(url, secure=self._secure)
        except ValueError as error:
            raise FetchFailed(str(error)) from None
        return url

    async def _fetch(
        self, request: httpx2.Request, redirects: int = _MAX_REDIRECTS
    ) -> dict[str, Any]:
        url = str(request.url)
        async with _within(url):
            return _object(await self._follow(request, redirects), url)

    async def _follow(self, request: httpx2.Request, redirects: int) -> bytes:
        """The body of an answer; that of a redirect is not read."""
        for _ in range(redirects + 1):
            response = await self._client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await _read(response)
                request = response.next_request
                self._checked(str(request.url))
            finally:
                await response.aclose()
        raise FetchFailed(f"{request.url} is one redirect too many")


@contextlib.asynccontextmanager
async def _within(url: str) -> AsyncIterator[None]:
    """Do what takes an answer of this address; FetchFailed when it does not come in time."""
    try:
        async with asyncio.timeout(ANSWER_TIME):
            yield
    except (TimeoutError, httpx2.TimeoutException):
        raise FetchFailed(f"{url} timed out: it takes more than {ANSWER_TIME:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise FetchFailed(f"{url} cannot be reached: {error}") from None


async def _read(response: httpx2.Response) -> bytes:
    if response.status_code != httpx2.codes.OK:
        raise NoDocument(f"{response.request.url} answers with {response.status_code}")
    return await _body(response)


async def _body(response: httpx2.Response) -> bytes:
    url, text = response.request.url, bytearray()
    async for part in response.aiter_raw():
        text += part
        if len(text) > MAX_DOCUMENT:
            raise FetchFailed(f"{url} has more than {MAX_DOCUMENT} bytes")
    return bytes(text)


def _object(text: bytes, url: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NoDocument(f"{url} is no JSON object")
    return document


def check_issuer(issuer: str) -> None:
    """ValueError unless an issuer's documents may be fetched."""
    parts = urlsplit(issuer)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("its address may only have a scheme, a host, a port and a path")
    check_address(issuer, secure=False)


def check_address(url: str, *, secure: bool) -> None:
    """Refuse what others could hear or change on its way. secure: no http even on loopback."""
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
