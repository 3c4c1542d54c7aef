"""Who may act where, as a function of the hub is told."""

from typing import cast

import pytest

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory
from hypha_cluster.identity.access import Identity, Workspace, own_workspace
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connection import Connection
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection

ANN = Identity("ann")


class FakeWorkspaces:
    """Everybody may enter `open`, and nothing else."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def require(self, identity: Identity, name: str) -> None:
        self.asked.append(name)
        if name != "open":
            raise PermissionDenied(f"Permission denied for workspace {name}.")

    async def get(self, name: str) -> Workspace:
        return own_workspace(Identity(name))

    async def may_enter(self, identity: Identity, workspace: Workspace) -> bool:
        return workspace.name == "open"


@pytest.fixture
def workspaces() -> FakeWorkspaces:
    return FakeWorkspaces()


def context(
    workspaces: FakeWorkspaces, *, home: str | None = "ann", attached: Connection | None = None
) -> Context:
    known = cast(Workspaces, workspaces)
    return Context("ann", "ann/me", ANN, home, "http://hub", known, cast(Directory, None), attached)


async def test_a_client_of_the_workspace_is_attached(workspaces: FakeWorkspaces) -> None:
    mine = connection(FakeSocket())

    assert context(workspaces, attached=mine).attached() is mine


@pytest.mark.parametrize("home", ["bob", None])
async def test_who_is_elsewhere_is_not(workspaces: FakeWorkspaces, home: str | None) -> None:
    asks = context(workspaces, home=home, attached=connection(FakeSocket()))

    with pytest.raises(PermissionDenied, match="connect to it to do this"):
        asks.attached()


async def test_nor_is_who_comes_over_http(workspaces: FakeWorkspaces) -> None:
    with pytest.raises(PermissionDenied):
        context(workspaces).attached()


async def test_nobody_is_asked_whether_somebody_may_act_at_home(workspaces: FakeWorkspaces) -> None:
    asks = context(workspaces)

    await asks.require()
    await asks.require("ann")

    assert await asks.may_enter("ann")
    assert workspaces.asked == []


async def test_elsewhere_the_rules_of_the_workspace_say_it(workspaces: FakeWorkspaces) -> None:
    asks = context(workspaces, home="bob")

    await asks.require("open")
    with pytest.raises(PermissionDenied):
        await asks.require()

    assert workspaces.asked == ["open", "ann"]
    assert await asks.may_enter("open")
    assert not await asks.may_enter("ann")
