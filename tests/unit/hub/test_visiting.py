"""Functions are called for somebody who asks over HTTP, as that somebody."""

from typing import Any, cast

import pytest

from hypha_cluster.errors import FunctionNotFound, ServiceNotFound
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.calls import Behalf
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.activity import Activity
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.pending import PendingCalls

SOMEBODY = Identity("somebody")
MEMBER = Visitor(SOMEBODY, inside=True, base_url="http://hub")
STRANGER = Visitor(SOMEBODY, inside=False, base_url="http://hub")
PROVIDER = Provider("home/c", "s", {}, online=True)
OWN = Provider("public/workspace-manager", "login", {}, online=True)


async def start(context: Context, key: str) -> dict[str, Any]:
    """Begin."""
    return {"key": key, "user": context.identity.id, "url": context.base_url}


class FakeDirectory:
    """A service that gets a new function when it is asked for afresh."""

    async def fetch_cached(
        self, provider: Provider, base_url: str, *, afresh: bool
    ) -> dict[str, Any]:
        old = {"f": rpc.reference(provider.address, "services.s.f"), "n": {"m": 5}}
        return {**old, "new": 1} if afresh else old


class FakeCalls:
    """Notes what is called, and as whom."""

    async def call(self, *args: Any, **options: Any) -> Any:
        return args, options


def visits() -> Visits:
    own = HubServices(
        [
            HubService("login", "Login", "", {"start": start}),
            HubService(
                "default", "Manager", "", {"start": start}, workspace=None, is_on_http=False
            ),
        ]
    )
    directory = cast(Directory, FakeDirectory())
    functions = OwnFunctions(own, directory, Connections(1, 1.0), cast(Workspaces, None))
    activity = Activity(PendingCalls(Counts().calls))
    return Visits(directory, own, functions, cast(HubCalls, FakeCalls()), activity)


@pytest.mark.parametrize(("path", "value"), [("n.m", 5), ("n", {"m": 5}), ("new", 1)])
async def test_a_member_is_found_by_its_path(path: str, value: object) -> None:
    assert await visits().member(MEMBER, PROVIDER, path) == value


async def test_a_member_that_is_missing_is_not_found() -> None:
    with pytest.raises(FunctionNotFound, match=r"home/c:s has no 'n\.x'"):
        await visits().member(MEMBER, PROVIDER, "n.x")


@pytest.mark.parametrize(("visitor", "workspace"), [(MEMBER, "home"), (STRANGER, "public")])
async def test_a_call_is_made_as_the_visitor(visitor: Visitor, workspace: str) -> None:
    function = rpc.reference("home/c", "services.s.f")

    args, options = await visits().call(visitor, PROVIDER, function, [1], {"a": 2})

    assert args == ("home/c", "services.s.f", [1], {"a": 2})
    assert options["behalf"] == Behalf(SOMEBODY, workspace, visitor.mail)


async def test_a_function_of_somebody_else_is_not_called() -> None:
    with pytest.raises(FunctionNotFound, match="elsewhere"):
        await visits().call(MEMBER, PROVIDER, rpc.reference("home/d", "services.s.f"), [], {})


async def test_the_hubs_own_function_is_told_who_asks() -> None:
    function = rpc.reference("public/workspace-manager", "services.login.start")

    result = await visits().call(STRANGER, OWN, function, [], {"key": "k"})

    assert result == {"key": "k", "user": "somebody", "url": "http://hub"}


async def test_what_needs_a_connection_is_not_offered_over_http() -> None:
    wanted = ServiceQuery(None, "workspace-manager", "default")

    for visitor in (MEMBER, STRANGER):
        with pytest.raises(ServiceNotFound, match="connect by WebSocket"):
            await visits().find(visitor, wanted, "home")
