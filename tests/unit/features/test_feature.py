"""Features come by one door, whether they are built in or an extension."""

import asyncio
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import cast

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hypha_cluster.errors import StartupError
from hypha_cluster.features.feature import Feature, Features, Grounds, Lookups, extensions
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService
from hypha_cluster.settings import setting
from hypha_cluster.supervision import Supervisor

HERE = __name__


async def hello(context: Context) -> str:
    """Say hello."""
    return "hello"


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class Greeting(Feature):
    """Says hello in every way."""

    name = "greeting"

    @dataclass(frozen=True)
    class Settings:
        """How."""

        loudly: bool = setting(False, "Whether to shout.")

    def __init__(self, settings: Settings, grounds: Grounds) -> None:
        self.settings = settings
        self.runs, self.is_told = asyncio.Event(), asyncio.Event()

    def routes(self, lookups: Lookups) -> list[Route]:
        return [Route("/hello", page)]

    def services(self) -> list[HubService]:
        return [HubService("hello", "Hello", "", {"hello": hello})]

    async def opened(self) -> None:
        self.is_told.set()

    async def run(self) -> None:
        self.runs.set()
        await asyncio.Event().wait()


class Nothing(Feature):
    """Does nothing."""

    name = "nothing"


class Careless(Feature):
    """Has settings that could change."""

    name = "careless"
    Settings = dict


def point(name: str) -> EntryPoint:
    return EntryPoint(name.lower(), f"{HERE}:{name}", "hypha_cluster.features")


def test_extensions_are_loaded_by_their_entry_points() -> None:
    assert extensions([point("Nothing"), point("Greeting")]) == [Greeting, Nothing]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Missing", "the extension missing .*cannot be loaded"),
        ("hello", "the extension hello .*no subclass"),
        ("Careless", "the extension careless .*no frozen dataclass"),
    ],
)
def test_a_broken_extension_is_named(name: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason):
        extensions([point(name)])


async def test_features_bring_routes_services_and_jobs() -> None:
    grounds, lookups = cast(Grounds, None), cast(Lookups, None)
    greeting = Greeting(Greeting.Settings(), grounds)
    features = Features([greeting, Nothing(None, grounds)], Supervisor())

    assert [route.path for route in cast(list[Route], features.routes(lookups))] == ["/hello"]
    assert [service.id for service in features.services()] == ["hello"]
    async with features.running(), asyncio.timeout(5.0):
        await greeting.runs.wait()
        assert not greeting.is_told.is_set()
        features.opened()
        await greeting.is_told.wait()
