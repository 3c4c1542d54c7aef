"""A person who looks at the hub's pages with a browser whose network is cut but for the hub."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, Route

from tests.browser_client import LoopThread

T = TypeVar("T")
# Where to put pictures for the docs, if they are to be taken anew.
PICTURES = os.environ.get("HYPHA_TEST_PICTURES")
PHONE = {"width": 375, "height": 800}
# What nobody may have to put up with.
BAD = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" | ")}`);
}"""


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

    async def picture(self, path: Path, **options: Any) -> None:
        await self.do(lambda page: page.screenshot(path=path, **options))

    async def close(self) -> None:
        await self._loop.run(self._context.close())
