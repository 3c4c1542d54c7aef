"""Services are found, listed, and fetched from their providers, once for each registration."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from hypha_cluster.errors import ClientAway, ClientLeft, HubError, ServiceNotFound
from hypha_cluster.hub import directory as module
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory, Registered, walk
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.services import Provider, RecentlyFound, RecentServices, Services


async def start(context: Context) -> None:
    """Begin."""


LOGIN = HubService("login", "Login", "Asks who somebody is.", {"start": start})


def info(full_id: str, visibility: str = "protected") -> dict[str, Any]:
    about = {"name": "n", "type": "generic", "description": "", "docs": {"a": "b"}}
    config = {"visibility": visibility, "workspace": full_id.partition("/")[0]}
    return {**about, "id": full_id, "config": config, "stamp": "gateway#1"}


class FakeServices:
    """One workspace with a protected service, and one that is public; and who offers `s`."""

    def __init__(self) -> None:
        self.there: list[Provider] = []

    async def providers(self, workspace: str, service: str) -> list[Provider]:
        return self.there

    async def public_providers(self, service: str) -> list[Provider]:
        return []

    async def of_workspace(self, workspace: str) -> list[dict[str, Any]]:
        return [info(f"{workspace}/c:mine"), info(f"{workspace}/c:open", "public")]


class FakeListing:
    """What is public, anywhere."""

    async def all(self) -> list[dict[str, Any]]:
        return [info("other/c:open", "public")]


class FakeCalls:
    """Clients that answer what they offer."""

    def __init__(self, services: dict[str, Any]) -> None:
        self._services = services
        self.asked: Counter[str] = Counter()

    async def call(self, target: str, method: str, args: list[Any]) -> Any:
        assert method == "services.built-in.get_service"
        self.asked[f"{target}:{args[0]}"] += 1
        answer = self._services.get(f"{target}:{args[0]}")
        if isinstance(answer, HubError):
            raise answer
        return answer


def directory_of(
    calls: FakeCalls,
    services: FakeServices | None = None,
    recent: RecentlyFound | None = None,
) -> Directory:
    own = HubServices([LOGIN])
    found = cast(Services, services or FakeServices())
    return Directory(
        Registered(found, RecentServices(found, recent or RecentlyFound())),
        cast(PublicListing, FakeListing()),
        own,
        cast(HubCalls, calls),
        lambda address: 0,
    )


def provider(name: str = "s", stamp: str = "gateway#1") -> Provider:
    return Provider("home/c", name, {"stamp": stamp}, online=True)


def ids(infos: list[dict[str, Any]]) -> list[str]:
    return [info["id"] for info in infos]


async def test_a_listing_shows_what_the_caller_may_see() -> None:
    directory = directory_of(FakeCalls({}))

    assert ids(await directory.visible("home", inside=True)) == ["home/c:mine", "home/c:open"]
    assert ids(await directory.visible("home", inside=False)) == ["home/c:open"]
    assert ids(await directory.visible("public", inside=False))[0] == (
        "public/workspace-manager:login"
    )


async def test_the_public_listing_has_the_hubs_own_services_too() -> None:
    listed = await directory_of(FakeCalls({})).public()

    assert ids(listed) == ["public/workspace-manager:login", "other/c:open"]
    assert all(listed_info.keys() == listed[0].keys() for listed_info in listed)


async def test_a_fetched_service_is_fit_to_be_passed_on() -> None:
    method = rpc.reference("c", "services.s.f")
    calls = FakeCalls({"home/c:s": {"id": "s", "config": {"visibility": "public"}, "f": method}})

    service = await directory_of(calls).fetch(provider())

    assert service["id"] == "home/c:s"
    assert service["config"] == {"visibility": "public", "workspace": "home"}
    assert service["f"]["_rtarget"] == "home/c"


async def test_a_provider_that_has_no_such_service_is_an_error() -> None:
    with pytest.raises(ServiceNotFound, match="home/c:s"):
        await directory_of(FakeCalls({})).fetch(provider())


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (ClientLeft("It left."), ClientLeft("It left."), None),
        (ClientAway.at("home/c"), {"id": "s"}, "home/d:s"),
        (ClientAway.at("home/c"), ClientLeft("It left."), ClientAway),
        (ClientAway.at("home/c"), ClientAway.at("home/d"), ClientAway),
    ],
)
async def test_nobody_and_who_is_suspended_are_told_apart(
    first: Any, second: Any, found: Any
) -> None:
    """A suspended provider is listed, so that it is nobody would be hard to believe."""
    services = FakeServices()
    services.there = [provider(), provider()._replace(address="home/d")]
    directory = directory_of(FakeCalls({"home/c:s": first, "home/d:s": second}), services)
    getting = directory.get(WANTED, "home", inside=True, mode="first", base_url="")

    if found is ClientAway:
        with pytest.raises(ClientAway, match="is away: its connection broke"):
            await getting
    else:
        service = await getting
        assert (service and service["id"]) == found


async def test_the_hubs_own_service_is_fetched_from_nobody() -> None:
    own = Provider("public/workspace-manager", "login", {}, online=True)
    calls = FakeCalls({})

    service = await directory_of(calls).fetch_cached(own, "http://hub")

    assert service["id"] == "public/workspace-manager:login"
    assert service["config"]["public_base_url"] == "http://hub"
    assert not calls.asked


async def test_a_provider_is_asked_once_for_each_registration() -> None:
    calls = FakeCalls({"home/c:s": {"id": "s"}})
    directory = directory_of(calls)

    for stamp in ("gateway#1", "gateway#1", "gateway#2"):
        await directory.fetch_cached(provider(stamp=stamp))
    await directory.fetch_cached(provider(stamp="gateway#2"), afresh=True)

    assert calls.asked["home/c:s"] == 3


async def test_what_is_kept_of_services_is_bounded_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KNOWN_SERVICES", 10_000)
    large = {f"home/c:{name}": {"id": name, "docs": "x" * 4_000} for name in "abc"}
    calls = FakeCalls({**large, "home/c:huge": {"id": "huge", "docs": "x" * 20_000}})
    directory = directory_of(calls)

    for name in ("a", "b", "c", "c", "a", "huge", "huge"):
        await directory.fetch_cached(provider(name))

    assert calls.asked["home/c:c"] == 1
    assert calls.asked["home/c:a"] == 2
    assert calls.asked["home/c:huge"] == 2


def test_a_path_leads_into_a_service_and_into_no_function() -> None:
    function = rpc.reference("home/c", "services.s.a.b")
    service = {"a": {"b": function}, "n": 1}

    assert walk(service, ["a", "b"]) == function
    for path in (["a", "c"], ["n", "real"], ["a", "b", "_rmethod"]):
        with pytest.raises(KeyError):
            walk(service, path)


# Waiting for a service.

WANTED = ServiceQuery("home", None, "s")


@pytest.fixture
def slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is seen but by an event."""
    monkeypatch.setattr(module, "LOOKING", 60.0)


@pytest.mark.usefixtures("slow_looks")
async def test_a_service_that_is_there_is_not_waited_for() -> None:
    services = FakeServices()
    services.there = [provider()]
    directory = directory_of(FakeCalls({}), services)

    assert await directory.wait_for(WANTED, "home", inside=True, seconds=5.0) == provider()


@pytest.mark.usefixtures("slow_looks")
async def test_who_waits_for_a_service_hears_when_it_comes() -> None:
    services, recent = FakeServices(), RecentlyFound()
    directory = directory_of(FakeCalls({}), services, recent)
    waiting = asyncio.create_task(directory.wait_for(WANTED, "home", inside=True, seconds=5.0))
    await asyncio.wait([waiting], timeout=0.02)

    recent.forget("elsewhere")
    recent.forget("home")  # something else has come
    await asyncio.wait([waiting], timeout=0.02)
    services.there = [provider()._replace(online=False)]
    recent.forget("home")
    await asyncio.wait([waiting], timeout=0.02)
    is_content_with_a_suspended_one = waiting.done()
    services.there = [provider()]
    recent.forget("home")

    assert not is_content_with_a_suspended_one
    assert await waiting == provider()


async def test_it_looks_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKING", 0.01)
    services = FakeServices()
    directory = directory_of(FakeCalls({}), services)
    waiting = asyncio.create_task(directory.wait_for(WANTED, "home", inside=True, seconds=5.0))
    await asyncio.wait([waiting], timeout=0.02)

    services.there = [provider()]

    assert await waiting == provider()


async def test_nobody_is_waited_for_longer_than_was_asked() -> None:
    directory = directory_of(FakeCalls({}))

    assert await directory.wait_for(WANTED, "home", inside=True, seconds=0.02) is None


def test_a_change_here_is_announced_and_one_elsewhere_is_not() -> None:
    announced: list[str] = []
    recent = RecentlyFound(announced.append)

    with recent.watching("home") as event:
        recent.forget("home")
        heard_of_others = event.is_set()
        event.clear()
        recent.changed("home")

    assert heard_of_others
    assert event.is_set()
    assert announced == ["home"]
