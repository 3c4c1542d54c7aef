"""The page of the hub itself: its gateways, what they do, and what is public."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from hypha_cluster import __version__
from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.pages.finding import has_text, wanted_text
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pulse import SHOWN, Pulse, to_wire
from hypha_cluster.hub.directory import Directory
from hypha_cluster.identity.access import PUBLIC, Identity, may_oversee
from hypha_cluster.protocol.limits import SHOWN_SERVICES
from hypha_cluster.web.rendering import BrowserRoute, Pages

FIGURES: Final = "/pages/figures"


class HubPage:
    """`/` for browsers, and the figures that it draws. for_admins: whether only they see these."""

    def __init__(
        self,
        directory: Directory,
        lookers: Lookers,
        pages: Pages,
        pulse: Pulse,
        *,
        for_admins: bool,
    ) -> None:
        self._directory = directory
        self._lookers = lookers
        self._pages = pages
        self._pulse = pulse
        self._for_admins = for_admins

    def routes(self) -> list[BaseRoute]:
        return [BrowserRoute("/", self.show), Route(FIGURES, self.figures)]

    async def show(self, request: Request) -> Response:
        looker = await self._lookers.identify(request)
        shows = self._may_see(looker.identity)
        find = wanted_text(request)
        services, away = await self._public(find)
        return self._pages.show(
            "hub",
            self._lookers.root(request),
            headers={"Vary": "Accept"},
            version=__version__,
            base_url=self._lookers.base_url(request),
            hint=looker.hint,
            user=looker.identity if looker.is_known else None,
            reloads=self._for_admins,
            figures=(await self._figures(looker.identity)) if shows else None,
            find=find,
            services=services[:SHOWN_SERVICES],
            more=max(0, len(services) - SHOWN_SERVICES),
            away=away,
        )

    def _may_see(self, identity: Identity) -> bool:
        return may_oversee(identity) or not self._for_admins

    async def _public(self, find: str) -> tuple[Sequence[dict[str, str]], str]:
        """What everybody may call and matches, and why nothing is known of it now."""
        try:
            found = await self._directory.public()
        except RedisUnavailable as error:
            return [], str(error)
        listed = [info for info in map(_listed, found) if has_text(info, find)]
        return sorted(listed, key=lambda info: (info["name"], info["client"])), ""

    async def figures(self, request: Request) -> Response:
        """What the page draws anew every two seconds."""
        looker = await self._lookers.identify(request)
        headers = {"Cache-Control": "no-store"}
        if not self._may_see(looker.identity):
            return JSONResponse({"success": False, "detail": "Only an admin sees them."}, 403)
        return JSONResponse(await self._figures(looker.identity), headers=headers)

    async def _figures(self, identity: Identity) -> dict[str, Any]:
        try:
            found = to_wire(await self._pulse.gateways(), with_addresses=may_oversee(identity))
        except RedisUnavailable as error:
            own = {
                "name": self._pulse.node,
                "version": __version__,
                "started": 0,  # only its lease says it
                "draining": False,
                "clients": None,
                "samples": [sample[:SHOWN] for sample in self._pulse.alone()],
            }
            return {"redis": str(error), "gateways": [own]}
        return {"redis": "", "gateways": found}


def _listed(info: dict[str, Any]) -> dict[str, str]:
    """A service as the page lists it; ids of the hub's own begin with `public/`."""
    address, _, service = str(info["id"]).rpartition(":")
    workspace, _, client = address.partition("/")
    return {
        "workspace": workspace or PUBLIC,
        "client": client,
        "id": service,
        "name": str(info.get("name") or service),
        "type": str(info.get("type") or ""),
        "description": str(info.get("description") or ""),
    }
