"""A person who looks at the hub's pages with a browser whose network is cut but for the hub."""

import json
import os
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, Route

from tests.browser_client import LoopThread

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

T = TypeVar("T")
# Where to put pictures for the docs, if they are to be taken anew.
PICTURES = os.environ.get("HYPHA_TEST_PICTURES")
PHONE = {"width": 375, "height": 800}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE},
}
DOCS = Path(__file__).parents[1] / "docs" / "pictures"
# What nobody may have to put up with.
BAD = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" | ")}`);
}"""

# Links to what a hub may lack.
MAYBE = ("API",)
# What a page says whoever looks, and whatever goes on: its labels, buttons, and heads of columns.
WORDS = """() => [...new Set([...document.querySelectorAll("h1, label, button, th, nav a")]
  .filter(each => each.checkVisibility() && !each.closest("[role=search]"))
  .map(each => each.innerText.trim()))].sort()"""


class Visit:
    """One window. complaints: what the browser says in its console; foreign: who else was asked."""

    def __init__(self, loop: LoopThread, context: BrowserContext, page: Page, site: str) -> None:
        self._loop = loop
        self._context = context
        self.page = page
        self.site = site
        self.complaints: list[str] = []
        self.foreign: list[str] = []

    @classmethod
    async def open(cls, loop: LoopThread, context: BrowserContext, site: str) -> Self:
        visit = cls(loop, context, await context.new_page(), site)
        await context.route("**/*", visit._let_through)
        visit.page.on("console", lambda message: visit._hear(message.type, message.text))
        visit.page.on("pageerror", lambda error: visit._hear("error", str(error)))
        return visit

    async def _let_through(self, route: Route) -> None:
        wanted = urlsplit(route.request.url)
        if wanted.netloc == urlsplit(self.site).netloc or wanted.scheme in ("data", "blob"):
            await route.continue_()
        else:
            self.foreign.append(route.request.url)
            await route.abort()

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    async def do(self, what: Callable[[Page], Awaitable[T]]) -> T:
        """Do something with the page, in the loop that it lives in."""

        async def done() -> T:
            return await what(self.page)

        return await self._loop.run(done())

    async def agree(self) -> None:
        """Say yes to what the page asks next."""

        async def listen(page: Page) -> None:
            page.once("dialog", lambda dialog: dialog.accept())

        await self.do(listen)

    async def go(self, path: str) -> int:
        """Open a page of the site; answer its status."""
        response = await self.do(lambda page: page.goto(f"{self.site}{path}"))
        assert response
        return response.status

    async def text(self, selector: str = "main") -> str:
        return await self.do(lambda page: page.inner_text(selector))

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; without `eval`, which the pages forbid."""

        async def wait(page: Page) -> None:
            while not await page.evaluate(expression):
                await page.wait_for_timeout(50)

        await self.do(wait)

    async def obstacles(self, axe: str) -> list[str]:
        """What axe finds serious or critical."""

        async def look(page: Page) -> list[str]:
            await page.evaluate(axe)
            found: list[str] = await page.evaluate(BAD)
            return found

        return await self.do(look)

    async def is_too_wide(self) -> bool:
        """Whether one has to scroll sideways."""
        wide: bool = await self.do(
            lambda page: page.evaluate("document.documentElement.scrollWidth > innerWidth")
        )
        return wide

    async def picture(self, name: str, **options: Any) -> None:
        """Take a picture for the docs, if that is wanted; else look whether theirs is of today."""
        words = await self.do(lambda page: page.evaluate(WORDS))
        words = [word for word in words if word not in MAYBE]
        if PICTURES:
            path = Path(PICTURES) / f"{name}.png"
            await self.do(lambda page: page.screenshot(path=path, **options))
            path.write_bytes(_with_comment(path.read_bytes(), json.dumps(words)))
            return
        shown = json.loads(_comment_of((DOCS / f"{name}.png").read_bytes()))
        assert [word for word in shown if word not in MAYBE] == words, (
            f"docs/pictures/{name}.png shows another page; HYPHA_TEST_PICTURES=docs/pictures with "
            "this test takes it anew"
        )

    async def close(self) -> None:
        async def close() -> None:
            # What the page still asks for is nobody's mistake.
            await self._context.unroute_all(behavior="ignoreErrors")
            await self._context.close()

        await self._loop.run(close())


# What all tests of pages do.

Visiting = Callable[..., Awaitable[Visit]]


@asynccontextmanager
async def visits(chromium: "Chromium", site: str) -> AsyncIterator[Visiting]:
    """Opens windows, and looks in the end whether the browser complains of anything."""
    opened: list[Visit] = []

    async def open_one(other: str = "", **options: Any) -> Visit:
        opened.append(await chromium.visit(other or site, **options))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()
        assert each.complaints == [], each.complaints
        assert each.foreign == [], each.foreign


async def is_fit_for_all(visit: Visit) -> None:
    """Fails where axe finds what shuts people out, or one has to scroll sideways."""
    from tests.browser import axe

    assert await visit.obstacles(axe()) == []
    assert not await visit.is_too_wide()


# Words in a picture, by a chunk of text; https://www.w3.org/TR/png/#11tEXt.

_HEAD = 8 + 25  # bytes: what says that it is one, and the first chunk
_COMMENT = b"Comment\0"


def _with_comment(picture: bytes, text: str) -> bytes:
    body = b"tEXt" + _COMMENT + text.encode("latin-1")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return picture[:_HEAD] + chunk + picture[_HEAD:]


def _comment_of(picture: bytes) -> bytes:
    (length,) = struct.unpack(">I", picture[_HEAD : _HEAD + 4])
    assert picture[_HEAD + 4 : _HEAD + 16] == b"tEXt" + _COMMENT, "the picture has no words"
    return picture[_HEAD + 16 : _HEAD + 8 + length]
