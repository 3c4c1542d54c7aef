"""The page of a workspace: its clients and services, and a page of each service, to call it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from hypha_cluster.errors import NotFound, ServiceNotFound
from hypha_cluster.features.feature import Grounds, Lookups
from hypha_cluster.features.pages.finding import has_text, wanted_text
from hypha_cluster.features.pages.functions import Place, functions_of, snippets
from hypha_cluster.features.pages.looking import Looker, Lookers
from hypha_cluster.hub.visiting import Visitor
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.links.client import settled
from hypha_cluster.protocol.address import MANAGER, ServiceQuery, parse_service_id
from hypha_cluster.protocol.limits import SHOWN_CLIENTS, SHOWN_SERVICES, SHOWN_TEXT
from hypha_cluster.registry.public import is_public
from hypha_cluster.registry.services import BUILT_IN
from hypha_cluster.web.rendering import BrowserRoute, Pages

# First parts of the hub's own addresses, which are no workspaces.
_OTHERS: Final = frozenset(
    (
        *("account", "api", "api-docs", "api-redoc", "apps", "assets", "health", "login"),
        *("metrics", "oauth", "openapi.json", "pages", "playground", "services", "sse", "static"),
        *("triton", "workspaces", "ws"),
    )
)
_WEB_APPLICATIONS: Final = ("ASGI", "functions")
_FORBIDDEN: Final = 403
_SERVER_APPS: Final = ServiceQuery(PUBLIC, MANAGER, "server-apps")


class Shown(NamedTuple):
    """Who looks at which workspace. inside: whether they see all of it."""

    looker: Looker
    workspace: str
    inside: bool
    base_url: str

    @property
    def visitor(self) -> Visitor:
        return Visitor(self.looker.identity, self.inside, self.base_url)


class WorkspaceRoute(BrowserRoute):
    """A route whose first part is the name of a workspace, and none of the hub's own."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE or child["path_params"]["workspace"] in _OTHERS:
            return Match.NONE, {}
        return match, child


class WorkspacePage:
    """`/{workspace}/` for browsers."""

    def __init__(self, grounds: Grounds, lookups: Lookups, lookers: Lookers, pages: Pages) -> None:
        self._directory = lookups.directory
        self._visits = lookups.visits
        self._redis, self._keys = grounds.redis, grounds.keys
        self._lookers = lookers
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        return [
            WorkspaceRoute("/{workspace}/", self.show),
            # Where server apps run, their page comes first, at the same address.
            WorkspaceRoute("/{workspace}/apps/", _no_apps),
        ]

    async def show(self, request: Request) -> Response:
        """The workspace, or one service of it; whoever may not enter sees what is public."""
        workspace: str = request.path_params["workspace"]
        looker = await self._lookers.identify(request)
        inside = await self._lookers.may_enter(looker, workspace)
        shown = Shown(looker, workspace, inside, self._lookers.base_url(request))
        if service := request.query_params.get("service"):
            return await self._show_service(request, shown, service)
        return await self._show_list(request, shown)

    def _common(self, shown: Shown) -> dict[str, Any]:
        known = shown.looker.is_known
        return {
            "workspace": shown.workspace,
            "base_url": shown.base_url,
            "user": shown.looker.identity if known else None,
            "hint": shown.looker.hint,
            "inside": shown.inside,
            "token": shown.looker.token if shown.inside else "",
        }

    # All of it.

    async def _show_list(self, request: Request, shown: Shown) -> Response:
        infos = await self._directory.visible(shown.workspace, inside=shown.inside)
        find = wanted_text(request)
        services = sorted(map(_listed, infos), key=lambda info: (info["name"], info["client"]))
        services = [info for info in services if info["id"] != BUILT_IN and has_text(info, find)]
        clients = await self._clients(shown, find) if shown.inside else []
        is_closed = not shown.inside and shown.workspace != PUBLIC
        return self._pages.show(
            "workspace",
            self._lookers.root(request),
            _FORBIDDEN if is_closed else 200,
            headers=_HEADERS,
            services=services[:SHOWN_SERVICES],
            more=max(0, len(services) - SHOWN_SERVICES),
            find=find,
            clients=await self._states(shown, clients[:SHOWN_CLIENTS]),
            more_clients=max(0, len(clients) - SHOWN_CLIENTS),
            closed=is_closed,
            has_apps=shown.inside and await self._has_apps(shown),
            **self._common(shown),
        )

    async def _has_apps(self, shown: Shown) -> bool:
        """Whether this hub runs server apps."""
        try:
            await self._visits.find(shown.visitor, _SERVER_APPS, PUBLIC)
        except ServiceNotFound:
            return False
        return True

    async def _clients(self, shown: Shown, find: str) -> Sequence[str]:
        found = await self._redis.smembers(self._keys.clients(shown.workspace))
        names = sorted(map(bytes.decode, found))
        return [name for name in names if find.casefold() in name.casefold()]

    async def _states(self, shown: Shown, names: Sequence[str]) -> Sequence[dict[str, str]]:
        keys = [self._keys.client(f"{shown.workspace}/{name}") for name in names]
        states = await settled([self._redis.hget(key, "state") for key in keys])
        return [
            {"name": name, "state": (state or b"gone").decode()}
            for name, state in zip(names, states, strict=True)
        ]

    # One service.

    async def _show_service(self, request: Request, shown: Shown, service: str) -> Response:
        wanted = parse_service_id(service)
        provider = await self._visits.find(shown.visitor, wanted, shown.workspace)
        description = await self._visits.describe(shown.visitor, provider)
        info = _listed(provider.info | {"id": f"{provider.address}:{provider.service}"})
        config = description.get("config")
        with_context = isinstance(config, dict) and bool(config.get("require_context"))
        place = Place(shown.base_url, shown.workspace, provider.service, is_public(provider.info))
        functions = functions_of(description, with_context=with_context)
        return self._pages.show(
            "service",
            self._lookers.root(request),
            headers=_HEADERS,
            service=info,
            docs=_text(description.get("docs")),
            functions=[(each, snippets(place, each)) for each in functions],
            is_application=info["type"] in _WEB_APPLICATIONS,
            **self._common(shown),
        )


async def _no_apps(_: Request) -> Response:
    raise NotFound(
        "This hub runs no server apps; its operator turns them on (--enable-server-apps)."
    )


_HEADERS: Final = {"Vary": "Accept"}


def _listed(info: dict[str, Any]) -> dict[str, str]:
    """A service as the page lists it."""
    address, _, service = str(info["id"]).rpartition(":")
    config = info.get("config")
    return {
        "client": address.partition("/")[2],
        "id": service,
        "name": _text(info.get("name")) or service,
        "type": _text(info.get("type")),
        "description": _text(info.get("description")),
        "visibility": _text(config.get("visibility") if isinstance(config, dict) else ""),
    }


def _text(value: object) -> str:
    return value[:SHOWN_TEXT] if isinstance(value, str) else ""
