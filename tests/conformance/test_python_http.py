"""A published client's functions over HTTP: what they say of wrong arguments and of mistakes."""

import json
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.gateways import Hub
from tests.http import Answer, ask
from tests.python_client import RELEASES, Local, PythonClient, releases_since

FUNCTIONS = (
    "hello",
    "add",
    "multiply",
    "be_silent",
    "be_silent_later",
    "be_positive",
    "misuse",
    "fail",
    "fail_later",
)


class Provider:
    """A published client with a public service, asked over HTTP."""

    def __init__(self, url: str, release: str) -> None:
        self._url = url
        self.has_traces = release in releases_since("0.5.48")
        self.has_signatures = release in releases_since("0.5.38")

    async def get(self, function: str, **arguments: Any) -> Answer:
        return await ask(f"{self._url}/{function}?{urllib.parse.urlencode(arguments)}")

    async def post(self, function: str, **arguments: Any) -> Answer:
        body = json.dumps(arguments).encode()
        return await ask(f"{self._url}/{function}", body, Content_Type="application/json")


@pytest.fixture(scope="module", params=RELEASES)
def client(request: pytest.FixtureRequest) -> Iterator[tuple[str, PythonClient]]:
    with PythonClient(request.param) as client:
        yield request.param, client


@pytest.fixture
async def provider(client: tuple[str, PythonClient], hub: Hub) -> AsyncIterator[Provider]:
    release, program = client
    connection = await program.connect(hub.first)
    service = {name: Local(name) for name in FUNCTIONS}
    await connection["register_service"](
        {"id": "tools", "config": {"visibility": "public"}, **service, "alias": Local("echo")}
    )
    yield Provider(f"{hub.second}/{connection.workspace}/services/tools", release)
    await connection["disconnect"]()


@pytest.mark.parametrize("function", ["add", "multiply", "be_positive"])
async def test_arguments_that_do_not_fit_are_the_callers_mistake(
    provider: Provider, function: str
) -> None:
    for arguments in ({}, {"b": 1}, {"a": 1, "x": 1, "nonsense": 2}):
        for answer in (
            await provider.get(function, **arguments),
            await provider.post(function, **arguments),
        ):
            assert answer.status == 422, answer
            assert "argument" in answer.value["detail"]
            assert "Traceback" not in answer.value["detail"]


async def test_arguments_that_fit_are_taken(provider: Provider) -> None:
    assert (await provider.get("hello")).value == "Hello world"
    assert (await provider.get("hello", name='"5"')).value == "Hello 5"
    assert (await provider.get("alias", value=1)).value == 1


async def test_a_function_may_have_another_name_in_its_service(provider: Provider) -> None:
    """Only its signature says which name its own words are about."""
    answer = await provider.get("alias", nonsense=1)

    assert answer.status == (422 if provider.has_signatures else 500)
    assert "echo()" in answer.value["detail"]


async def test_a_functions_own_mistake_is_its_own(provider: Provider) -> None:
    """Also where it is of the same kind: it calls something with the wrong arguments."""
    own = await provider.get("misuse", x=1)
    added = await provider.get("add", a=1, b="text")

    assert (own.status, added.status) == (500, 500)
    assert "nonsense" in own.value["detail"]
    assert "unsupported operand" in added.value["detail"]


@pytest.mark.parametrize("function", ["be_silent", "be_silent_later"])
async def test_an_exception_that_says_nothing_is_named(provider: Provider, function: str) -> None:
    answer = await provider.get(function)

    assert answer.status == 500
    detail = answer.value["detail"]
    assert detail
    if provider.has_traces or function == "be_silent_later":
        assert "Silent" in detail
    assert "Traceback" not in detail
    assert "\n" not in detail


async def test_an_assertion_that_fails_is_named(provider: Provider) -> None:
    answer = await provider.get("be_positive", x=0)

    assert answer.status == 500
    assert answer.value["detail"]
    if provider.has_traces:
        assert "AssertionError" in answer.value["detail"]


@pytest.mark.parametrize("function", ["fail", "fail_later"])
async def test_what_an_exception_says_is_said_without_the_trace(
    provider: Provider, function: str
) -> None:
    answer = await provider.get(function, message="the dog ate it: all of it")

    assert answer.status == 500
    assert answer.value["detail"].removeprefix("ValueError: ") == "the dog ate it: all of it"
