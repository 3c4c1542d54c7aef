"""Functions of the hub's own services are called by clients, and by who asks over HTTP."""

from typing import Any, cast

import pytest

from hypha_cluster.errors import (
    BadRequest,
    ClientLeft,
    FunctionNotFound,
    PermissionDenied,
    ServiceNotFound,
)
from hypha_cluster.hub.calls import Call
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.services import HubServices
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connection import Connection, Speech, Way
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.sockets import Socket
from tests.unit.hub.test_services import LOGIN, PRIVATE

SOMEBODY = Identity("somebody")
ANN = Identity("ann")


class FakeWorkspaces:
    """Lets nobody in anywhere."""

    async def require(self, identity: Identity, name: str) -> None:
        raise PermissionDenied(f"Permission denied for workspace {name}.")


@pytest.fixture
def own() -> OwnFunctions:
    connections = Connections(1, 1.0)
    attachment = Attachment("ann/me", "me", own_workspace(ANN), ANN, "node#1", "node")
    connections.attach(
        Connection(
            attachment,
            cast(Socket, None),
            speech=Speech(IMJOY, 1_000),
            way=Way("http://hub"),
        )
    )
    directory, workspaces = cast(Directory, object()), cast(Workspaces, FakeWorkspaces())
    return OwnFunctions(HubServices([LOGIN, PRIVATE]), directory, connections, workspaces)


def visit(own: OwnFunctions, workspace: str, *, inside: bool = False) -> Context:
    return own.context_for(SOMEBODY, workspace, inside=inside, base_url="http://hub")


async def test_a_function_is_told_who_calls(own: OwnFunctions) -> None:
    stranger, member = visit(own, "public"), visit(own, "home", inside=True)

    assert await own.call(stranger, "login", "start", ["k"], {}) == "public public k"
    assert await own.call(member, "private", "start", [], {"key": "k"}) == "home home k"


async def test_the_mark_of_javascripts_keywords_is_none_of_them(own: OwnFunctions) -> None:
    kwargs = {"key": "k", "more": 1, "_rkwargs": True}

    assert await own.call(visit(own, "public"), "login", "report", [], kwargs) == {"more": 1}


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "missing"),
    [
        ("report", [], {}, "report: missing a required argument: 'key'"),
        ("start", [], {"colour": 1}, "start: got an unexpected keyword argument 'colour'"),
        ("start", [1], {"key": 2}, "start: multiple values for argument 'key'"),
    ],
)
async def test_arguments_that_do_not_fit_are_the_callers_mistake(
    own: OwnFunctions, function: str, args: list[Any], kwargs: dict[str, Any], missing: str
) -> None:
    with pytest.raises(BadRequest, match=missing):
        await own.call(visit(own, "public"), "login", function, args, kwargs)


async def test_what_there_is_not_is_not_found(own: OwnFunctions) -> None:
    with pytest.raises(FunctionNotFound, match="login.stop"):
        await own.call(visit(own, "public"), "login", "stop", [], {})
    with pytest.raises(ServiceNotFound, match="home/workspace-manager:login"):
        await own.call(visit(own, "home", inside=True), "login", "start", [], {})


async def test_a_protected_service_is_for_those_who_may_enter(own: OwnFunctions) -> None:
    with pytest.raises(PermissionDenied):
        await own.call(visit(own, "home"), "private", "start", [], {})


@pytest.mark.parametrize("function", ["look", "see"])
async def test_a_function_may_judge_itself_who_calls(own: OwnFunctions, function: str) -> None:
    assert await own.call(visit(own, "home"), "private", function, ["k"], {}) == "public home k"


def call_of_ann(workspace: str, service: str, function: str, *args: Any) -> Call:
    caller = rpc.Caller("ann/me", f"{workspace}/workspace-manager", None, None, None, None, 0.0)
    return Call(caller, service, function, list(args), {})


async def test_a_client_is_described_and_called_as_itself(own: OwnFunctions) -> None:
    assert own.describe(call_of_ann("public", "built-in", "get_service", "login"))["id"] == "login"
    assert own.describe(call_of_ann("ann", "built-in", "get_service", "private"))["id"] == "private"
    assert await own.answer(call_of_ann("ann", "private", "start", "k")) == "ann ann k"


@pytest.mark.parametrize(
    ("workspace", "wanted", "error"),
    [
        ("home", "private", PermissionDenied),
        ("home", "missing", ServiceNotFound),
        ("ann", "login", ServiceNotFound),
        ("ann", ["private"], ServiceNotFound),
    ],
)
def test_a_client_is_not_told_of_what_it_may_not_use(
    own: OwnFunctions, workspace: str, wanted: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        own.describe(call_of_ann(workspace, "built-in", "get_service", wanted))


async def test_a_client_that_is_gone_is_not_answered(own: OwnFunctions) -> None:
    call = call_of_ann("ann", "private", "start")
    gone = call._replace(caller=call.caller._replace(address="ann/other"))

    with pytest.raises(ClientLeft):
        await own.answer(gone)


def test_a_stranger_is_at_home_nowhere(own: OwnFunctions) -> None:
    """Even if the service is in `public`, where calls of strangers come from."""
    assert visit(own, "public").home is None


def test_a_function_is_told_where_it_finds_others(own: OwnFunctions) -> None:
    contexts = [visit(own, workspace) for workspace in ("home", "public")]

    assert len({id(context.directory) for context in contexts}) == 1
    assert all(context.directory is not None for context in contexts)
