"""The hub's own services: what they say of themselves, and which there are."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, MethodNotAllowed, ServiceNotFound, StartupError
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService, HubServices


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


def test_what_there_is_not_is_not_found() -> None:
    own = HubServices([LOGIN, PRIVATE])

    with pytest.raises(ServiceNotFound, match="home/workspace-manager:login"):
        own.get("home", "login")
    assert own.find("home", "login") is None
    assert own.find("home", "private") is PRIVATE


async def test_one_of_them_may_launch_apps() -> None:
    async def launch(context: Context, query: dict[str, Any]) -> tuple[str, str]:
        return "ann/app", "default"

    apps = HubService("apps", "Apps", "", {"start": start}, launch=launch)

    assert HubServices([LOGIN, apps]).launcher() is launch
    with pytest.raises(BadRequest, match="cannot launch"):
        HubServices([LOGIN]).launcher()


def test_a_listing_has_what_is_offered_in_its_workspace() -> None:
    own = HubServices([LOGIN, PRIVATE])

    def listed(workspace: str) -> list[str]:
        return [info["id"] for info in own.listed(workspace)]

    assert listed("home") == ["home/workspace-manager:private"]
    assert listed("public") == [
        "public/workspace-manager:login",
        "public/workspace-manager:private",
    ]


def test_an_id_can_be_taken_once() -> None:
    with pytest.raises(StartupError, match="'login'"):
        HubServices([LOGIN, PRIVATE, LOGIN])


@pytest.mark.parametrize("name", ["id", "config", "type"])
def test_a_function_cannot_hide_what_a_service_says_of_itself(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HubService("odd", "Odd", "", {name: start})


def test_what_ends_something_is_not_asked_for_by_get() -> None:
    service = HubService(
        "gate", "Gate", "", {"look": _nothing, "shut": _nothing}, {"close": "shut"}, posted=SHUT
    )

    service.check_get("look")
    for name in ("shut", "close"):
        with pytest.raises(MethodNotAllowed, match=f"gate.{name} is called by POST"):
            service.check_get(name)


SHUT = frozenset(("shut",))


async def _nothing(context: Context) -> None:
    pass
