"""The feature: pages that people see of the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute

from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.features.pages.hub_page import HubPage
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.old_pages import OldPages
from hypha_cluster.features.pages.playground import Playground
from hypha_cluster.features.pages.pulse import Pulse
from hypha_cluster.features.pages.workspace_page import WorkspacePage
from hypha_cluster.settings import setting
from hypha_cluster.web.rendering import PageFiles, Pages

TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class PagesSettings:
    """Who sees what."""

    figures: str = setting(
        "everybody",
        "Who sees on the hub's page how many clients and calls there are.",
        choices=("everybody", "admins"),
    )


class HubPages(Feature):
    """`/` and `/{workspace}/` for browsers, and the playground."""

    name = "pulse"
    title = "Pages"
    Settings = PagesSettings

    def __init__(self, settings: PagesSettings, grounds: Grounds) -> None:
        self._settings = settings
        self._grounds = grounds
        self._pulse = Pulse(grounds.node, grounds.counts, grounds.redis, grounds.keys)

    def routes(self, lookups: Lookups) -> Sequence[BaseRoute]:
        lookers = Lookers(self._grounds)
        pages = Pages(TEMPLATES, with_scripts=True)
        for_admins = self._settings.figures == "admins"
        hub = HubPage(lookups.directory, lookers, pages, self._pulse, for_admins=for_admins)
        return [
            *hub.routes(),
            *Playground(lookers, pages).routes(),
            *OldPages(lookers, pages).routes(),
            *PageFiles(TEMPLATES).routes(),
            *WorkspacePage(self._grounds, lookups, lookers, pages).routes(),
        ]

    async def run(self) -> None:
        await self._pulse.run()
