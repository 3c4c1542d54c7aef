"""The feature: pages that people see of the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute

from hypha_cluster.features.feature import Feature, Grounds
from hypha_cluster.features.pages.hub_page import HubPage
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.old_pages import OldPages
from hypha_cluster.features.pages.playground import Playground
from hypha_cluster.features.pages.pulse import Pulse
from hypha_cluster.features.pages.workspace_page import WorkspacePage
from hypha_cluster.settings import setting
from hypha_cluster.web.rendering import PageFiles, Pages

_TEMPLATES: Final = Path(__file__).parent / "templates"


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
    Settings = PagesSettings

    def __init__(self, settings: PagesSettings, grounds: Grounds) -> None:
        lookers = Lookers(grounds)
        pages = Pages(_TEMPLATES, with_scripts=True)
        self._files = PageFiles(_TEMPLATES)
        self._pulse = Pulse(grounds.node, grounds.counts, grounds.redis, grounds.keys)
        self._hub = HubPage(
            grounds, lookers, pages, self._pulse, for_admins=settings.figures == "admins"
        )

        self._workspace = WorkspacePage(grounds, lookers, pages)
        self._playground = Playground(lookers, pages)
        self._old = OldPages(lookers, pages)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            *self._hub.routes(),
            *self._playground.routes(),
            *self._old.routes(),
            *self._files.routes(),
            *self._workspace.routes(),
        ]

    async def run(self) -> None:
        await self._pulse.run()
