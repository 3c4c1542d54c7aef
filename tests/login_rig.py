"""A person with a browser, who logs in: by HTTP, as browsers send it, but without one."""

import html
import re
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import argon2
import httpx2

from hypha_cluster.registry.accounts import Accounts
from tests.gateways import SECOND, Gateway
from tests.http import ask

PASSWORD = "correct horse battery"
PAGE = "/public/apps/hypha-login/"
SERVICE = "/public/services/hypha-login"


@cache
def hash_of(password: str) -> str:
    return argon2.PasswordHasher().hash(password)


class Page:
    """What the browser shows."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.url = str(response.url)
        self.text = html.unescape(response.text)
        self.headers = response.headers
        self.fields = {
            name: html.unescape(value)
            for name, value in re.findall(
                r'<input type="hidden" name="(\w+)"[^>]*? value="([^"]*)"', response.text
            )
        }

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def __contains__(self, text: str) -> bool:
        return text in self.text


class Person:
    """Has a browser of their own, which keeps cookies and says where its forms come from."""

    def __init__(self, *, follow_redirects: bool = True, **options: Any) -> None:
        self.follows_redirects = follow_redirects
        self._client = httpx2.AsyncClient(timeout=20 * SECOND, trust_env=False, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    @property
    def cookies(self) -> httpx2.Cookies:
        return self._client.cookies

    async def open(self, url: str, **headers: str) -> Page:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        navigation = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
        navigation["Sec-Fetch-Dest"] = "document"
        return await self._follow(await self._client.get(url, headers={**navigation, **named}))

    async def send(self, url: str, fields: Mapping[str, str], **headers: str) -> Page:
        """Send a form as a page of the same site does, unless the headers say otherwise."""
        parts = urlsplit(url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        own = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
        answer = await self._client.post(url, data=dict(fields), headers={**own, **named})
        return await self._follow(answer)

    async def _follow(self, response: httpx2.Response) -> Page:
        """Where a redirect leads to, a browser says no more which page had the form."""
        if response.next_request is None or not self.follows_redirects:
            return Page(response)
        address = str(response.next_request.url)
        return await self.open(address, Sec_Fetch_Site="cross-site")

    async def log_in(self, url: str, name: str, password: str = PASSWORD, key: str = "") -> Page:
        """Go through the login page of a hub."""
        page = await self.open(f"{url}{PAGE}" + (f"?key={key}" if key else ""))
        fields = {**page.fields, "name": name, "password": password}
        return await self.send(f"{url}/login/sign-in", fields)

    async def answer(self, url: str, page: Page, answer: str = "allow") -> Page:
        """Press a button of the page that asks whether a program may have a token."""
        return await self.send(f"{url}/login/answer", {**page.fields, "answer": answer})


def key_of(login_url: str) -> str:
    """What the address says that the program shows."""
    return parse_qs(urlsplit(login_url).query)["key"][0]


async def start(url: str) -> dict[str, str]:
    """Begin a login, as a program does."""
    started: dict[str, str] = (await ask(f"{url}{SERVICE}/start")).value
    return started


async def check(url: str, key: str, seconds: float = 0) -> Any:
    answer = await ask(f"{url}{SERVICE}/check?key={key}&timeout={seconds}")
    return answer.value if answer.status == 200 else (answer.status, answer.value["detail"])


class Site(NamedTuple):
    """Two gateways of one hub, and the accounts that it keeps."""

    first: str
    second: str
    gateways: tuple[Gateway, Gateway]
    accounts: Accounts
