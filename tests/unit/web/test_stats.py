"""What a cluster has is for administrators."""

import json
from typing import Any, cast

import pytest
from starlette.routing import Router

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import PUBLIC, ROOT, Identity, Workspace
from hypha_cluster.protocol.limits import LISTED_WORKSPACES
from hypha_cluster.registry.nodes import NodeInfo, Nodes
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.lookup import Lookup
from hypha_cluster.web.stats import StatsApi
from tests.unit.web.middleware.asgi import ask


class Cluster:
    """Two gateways, and more workspaces than are told of one by one."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.asked = 0

    async def identify(self, request: Any) -> Identity:
        return self._identity

    async def alive(self) -> list[NodeInfo]:
        return [NodeInfo("a", 3, alive=True), NodeInfo("b", 4, alive=True)]

    async def names(self) -> list[str]:
        return [PUBLIC, *(f"w{number}" for number in range(LISTED_WORKSPACES + 5))]

    async def find(self, name: str) -> Workspace | None:
        self.asked += 1
        return None if name == "w0" else Workspace(name)


def stats(cluster: Cluster) -> Router:
    made = StatsApi(cast(Lookup, cluster), cast(Nodes, cluster), cast(Workspaces, cluster))
    return Router(made.routes())


async def test_an_administrator_sees_gateways_and_workspaces() -> None:
    cluster = Cluster(ROOT)

    _, body = await ask(stats(cluster), path="/api/stats")

    value = json.loads(body["body"])
    assert [gateway["name"] for gateway in value["gateways"]] == ["a", "b"]
    assert value["client_count"] == 7
    assert value["workspace_count"] == LISTED_WORKSPACES + 5
    assert cluster.asked == LISTED_WORKSPACES
    assert len(value["workspaces"]) == LISTED_WORKSPACES - 1  # one has gone meanwhile


async def test_nobody_else_does() -> None:
    cluster = Cluster(Identity("ann", is_anonymous=False))

    with pytest.raises(PermissionDenied, match="Only an admin may see this"):
        await ask(stats(cluster), path="/api/stats")
    assert cluster.asked == 0
