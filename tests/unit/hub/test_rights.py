"""Who may pass on functions of others."""

import pytest

from hypha_cluster.errors import (
    ClientNotFound,
    HubError,
    PermissionDenied,
    RedisUnavailable,
    ServiceNotFound,
    WorkspaceNotFound,
)
from hypha_cluster.hub.rights import Rights
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.references import Reference

ME = Identity("me")
OPEN = Reference("away/other", "open")


class FakeWorkspaces:
    """The user may enter one."""

    def __init__(self, error: HubError | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    async def may_enter_lately(self, identity: Identity, name: str) -> bool:
        self.asked.append(name)
        if self._error is not None:
            raise self._error
        return name == "mine"


class FakeDirectory:
    """Finds one public service."""

    def __init__(self, error: HubError) -> None:
        self._error = error

    async def find_lately(self, wanted: ServiceQuery, home: str, *, inside: bool) -> object:
        if (wanted, inside) != (ServiceQuery("away", "other", "open"), False):
            raise self._error
        return object()


def rights(
    *, error: HubError | None = None, missing: HubError | None = None
) -> tuple[Rights, FakeWorkspaces]:
    workspaces = FakeWorkspaces(missing)
    directory = FakeDirectory(error or ServiceNotFound("no such service"))
    return Rights(workspaces, directory), workspaces


async def test_public_services_and_those_of_a_workspace_that_one_may_enter_may_be_passed_on() -> (
    None
):
    mine = [Reference("mine/other", name) for name in ("closed", "built-in", "unheard-of")]
    allowed, workspaces = rights()

    await allowed.require(ME, [OPEN, *mine])

    assert workspaces.asked == ["away", "mine"]


@pytest.mark.parametrize(
    "error", [PermissionDenied("protected"), ServiceNotFound("no"), ClientNotFound("no")]
)
async def test_others_may_not(error: HubError) -> None:
    denying, _ = rights(error=error)

    with pytest.raises(PermissionDenied, match="'closed' of 'away/other' is not public"):
        await denying.require(ME, [OPEN, Reference("away/other", "closed")])


async def test_what_each_client_has_for_itself_may_not() -> None:
    denying, _ = rights()

    with pytest.raises(PermissionDenied, match="'built-in'"):
        await denying.require(ME, [Reference("away/other", "built-in")])


async def test_nothing_of_a_workspace_that_is_not_there_may() -> None:
    denying, _ = rights(missing=WorkspaceNotFound("no such workspace"))

    with pytest.raises(PermissionDenied):
        await denying.require(ME, [Reference("gone/other", "closed")])


async def test_without_redis_nothing_is_known() -> None:
    unable, _ = rights(error=RedisUnavailable("away"))

    with pytest.raises(RedisUnavailable):
        await unable.require(ME, [Reference("away/other", "closed")])
