"""A runner without a browser: pages open, offer something and end when a test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypha_cluster.errors import ClientNotFound
from hypha_cluster.features.launcher.running.bounds import Bounds
from hypha_cluster.features.launcher.running.browser import Assignment, PageGone
from hypha_cluster.features.launcher.running.hosting import Outlook
from hypha_cluster.features.launcher.running.logbook import Logbook
from hypha_cluster.features.launcher.running.usage import Usage
from hypha_cluster.registry.services import Provider
from tests.unit.features.launcher.rig import URL, Site

BOUNDS = Bounds(2**40, 1e9, 1e9, 5.0)


class FakePage:
    """A page that uses as much as it is said to."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.used = Usage(0, 0.0, False)

    async def usage(self) -> Usage:
        return self.used


class FakeBrowser:
    """Opens pages, or says why not. open_now: the pages that are."""

    def __init__(self) -> None:
        self.opened: list[FakePage] = []
        self.open_now: list[FakePage] = []
        self.refusal = ""

    @asynccontextmanager
    async def open(self, assignment: Assignment, log: Logbook) -> AsyncIterator[FakePage]:
        if self.refusal:
            raise PageGone(self.refusal)
        page = FakePage(assignment)
        self.opened.append(page)
        self.open_now.append(page)
        log.take("log", "hello")
        try:
            yield page
        finally:
            self.open_now.remove(page)


class FakeServices:
    """What pages offer: those that have come in, by their addresses."""

    def __init__(self) -> None:
        self.offered: dict[str, str] = {}

    async def provider(self, address: str, service: str) -> Provider | None:
        if address not in self.offered:
            raise ClientNotFound.at(address)
        info = {"name": "Adds", "stamp": self.offered[address]}
        return Provider(address, service, info, online=True)


def outlook_of(site: Site, services: Any, bounds: Bounds = BOUNDS) -> Outlook:
    return Outlook(URL, site.apps, site.instances, site.logs, services, bounds)
