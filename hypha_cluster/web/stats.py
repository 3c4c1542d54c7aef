"""/api/stats: what a cluster has, for its administrators."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hypha_cluster import __version__
from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import PUBLIC, may_oversee
from hypha_cluster.protocol.limits import LISTED_WORKSPACES
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.lookup import Lookup


class StatsApi:
    """Answers from Redis, so the answer is the same on every gateway."""

    def __init__(self, lookup: Lookup, nodes: Nodes, workspaces: Workspaces) -> None:
        self._lookup = lookup
        self._nodes = nodes
        self._workspaces = workspaces

    def routes(self) -> list[Route]:
        return [Route("/api/stats", self.stats)]

    async def stats(self, request: Request) -> Response:
        if not may_oversee(await self._lookup.identify(request)):
            raise PermissionDenied("Only an admin may see this: a user with the role admin.")
        gateways = await self._nodes.alive()
        names = [name for name in await self._workspaces.names() if name != PUBLIC]
        found = await asyncio.gather(*map(self._workspaces.find, names[:LISTED_WORKSPACES]))
        return JSONResponse(
            {
                "version": __version__,
                "gateways": [gateway._asdict() for gateway in gateways],
                "client_count": sum(gateway.clients for gateway in gateways),
                "workspace_count": len(names),
                "workspaces": [workspace.to_wire() for workspace in found if workspace],
            }
        )
