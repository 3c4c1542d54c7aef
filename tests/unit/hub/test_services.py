"""The hub's own services: what they say of themselves, and how they are called."""

from dataclasses import replace
from typing import Any, cast

import pytest

from hypha_cluster.errors import (
    BadRequest,
    ClientLeft,
    FunctionNotFound,
    PermissionDenied,
    ServiceNotFound,
    StartupError,
)
from hypha_cluster.hub.calls import Call
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connections import Connection, Connections, Socket, Speech

SOMEBODY = Identity("somebody")
ANN = Identity("ann")


class FakeWorkspaces:
    """Lets nobody in anywhere."""

    async def require(self, identity: Identity, name: str) -> None:
        raise PermissionDenied(f"Permission denied for workspace {name}.")


async def start(context: Context, key: str = "", limit: float | None = None, *more: Any) -> str:
    """Begin a login."""
    return f"{context.caller.partition('/')[0]} {context.workspace} {key}"


async def report(context: Context, /, key: str, **options: Any) -> Any:
    """Take the token."""
    return options


LOGIN = HubService(
    "login",
    "Login",
    "Asks who somebody is.",
    {"start": start, "report": report},
    aliases={"begin": "start"},
)
PRIVATE = HubService(
    "private",
    "Private",
    "",
    {"start": start, "look": start},
    aliases={"see": "look"},
    workspace=None,
    visibility="protected",
    judging=frozenset(("look",)),
)


@pytest.fixture
def own() -> HubServices:
    connections = Connections(1, 1.0)
    attachment = Attachment("ann/me", "me", own_workspace(ANN), ANN, "node#1", "node")
    connections.attach(
        Connection(
            attachment,
            cast(Socket, None),
            speech=Speech(IMJOY, 1_000),
            base_url="http://hub",
            refresh_after=0.0,
        )
    )
    services = HubServices(connections, cast(Workspaces, FakeWorkspaces()))
    services.add(LOGIN, PRIVATE)
    return services


def visit(own: HubServices, workspace: str, *, inside: bool = False) -> Context:
    return own.context_for(SOMEBODY, workspace, inside=inside, base_url="http://hub")


def test_a_service_says_what_its_functions_take() -> None:
    service = LOGIN.describe("public", "http://hub")

    assert service["id"] == "login"
    assert service["config"]["public_base_url"] == "http://hub"
    assert service["start"] == {
        "_rtype": "method",
        "_rtarget": "public/workspace-manager",
        "_rmethod": "services.login.start",
        "_rpromise": True,
        "_rsig": "start(key='', limit=None, *more)",
        "_rdoc": "Begin a login.",
    }
    assert service["report"]["_rsig"] == "report(key, **options)"


def test_an_alias_is_a_name_like_others() -> None:
    service = LOGIN.describe("public", "http://hub")

    assert service["begin"]["_rmethod"] == "services.login.begin"
    assert service["begin"]["_rdoc"] == "Begin a login."
    assert LOGIN.function("begin") is start


async def test_a_function_is_told_who_calls(own: HubServices) -> None:
    stranger, member = visit(own, "public"), visit(own, "home", inside=True)

    assert await own.call(stranger, "login", "start", ["k"], {}) == "public public k"
    assert await own.call(member, "private", "start", [], {"key": "k"}) == "home home k"


async def test_the_mark_of_javascripts_keywords_is_none_of_them(own: HubServices) -> None:
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
    own: HubServices, function: str, args: list[Any], kwargs: dict[str, Any], missing: str
) -> None:
    with pytest.raises(BadRequest, match=missing):
        await own.call(visit(own, "public"), "login", function, args, kwargs)


async def test_what_there_is_not_is_not_found(own: HubServices) -> None:
    with pytest.raises(FunctionNotFound, match="login.stop"):
        await own.call(visit(own, "public"), "login", "stop", [], {})
    with pytest.raises(ServiceNotFound, match="home/workspace-manager:login"):
        await own.call(visit(own, "home", inside=True), "login", "start", [], {})


async def test_a_protected_service_is_for_those_who_may_enter(own: HubServices) -> None:
    with pytest.raises(PermissionDenied):
        await own.call(visit(own, "home"), "private", "start", [], {})


@pytest.mark.parametrize("function", ["look", "see"])
async def test_a_function_may_judge_itself_who_calls(own: HubServices, function: str) -> None:
    assert await own.call(visit(own, "home"), "private", function, ["k"], {}) == "public home k"


def call_of_ann(workspace: str, service: str, function: str, *args: Any) -> Call:
    caller = rpc.Caller("ann/me", f"{workspace}/workspace-manager", None, None, None, None, 0.0)
    return Call(caller, service, function, list(args), {})


async def test_a_client_is_described_and_called_as_itself(own: HubServices) -> None:
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
    own: HubServices, workspace: str, wanted: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        own.describe(call_of_ann(workspace, "built-in", "get_service", wanted))


async def test_a_client_that_is_gone_is_not_answered(own: HubServices) -> None:
    call = call_of_ann("ann", "private", "start")
    gone = replace(call, caller=call.caller._replace(address="ann/other"))

    with pytest.raises(ClientLeft):
        await own.answer(gone)


def test_a_stranger_is_at_home_nowhere(own: HubServices) -> None:
    """Even if the service is in `public`, where calls of strangers come from."""
    assert visit(own, "public").home is None


def test_a_listing_has_what_is_offered_in_its_workspace(own: HubServices) -> None:
    def listed(workspace: str) -> list[str]:
        return [info["id"] for info in own.listed(workspace)]

    assert listed("home") == ["home/workspace-manager:private"]
    assert listed("public") == [
        "public/workspace-manager:login",
        "public/workspace-manager:private",
    ]


def test_an_id_can_be_taken_once(own: HubServices) -> None:
    with pytest.raises(StartupError, match="'login'"):
        own.add(LOGIN)


@pytest.mark.parametrize("name", ["id", "config", "type"])
def test_a_function_cannot_hide_what_a_service_says_of_itself(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HubService("odd", "Odd", "", {name: start})
