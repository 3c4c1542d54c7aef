"""A page calls the functions of another page."""

import asyncio

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_arguments_keep_their_order(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")

    assert await caller.call("tools", "join", "-", ["a", "b", "c"]) == "a-b-c"


async def test_functions_that_are_not_asynchronous_answer_too(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    assert await caller.call("tools", "add", "one", "two") == "onetwo"


async def test_a_client_can_call_itself(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)
    await connection.register("tools")

    assert await connection.call("tools", "add", 1, 2) == 3


async def test_answers_go_to_the_calls_that_they_belong_to(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    answers = await caller.run(
        """
        const tools = await server.getService("tools");
        return await Promise.all([...Array(100).keys()].map(index => tools.add(index, 1000)));
        """
    )

    assert answers == [index + 1000 for index in range(100)]


async def test_calls_of_one_caller_arrive_in_their_order(
    provider: Connection, caller: Connection
) -> None:
    await provider.run(
        """
        const seen = [];
        await server.registerService({
          id: "log", write: line => { seen.push(line); }, read: () => seen,
        });
        """
    )

    lines = await caller.run(
        """
        const log = await server.getService("log");
        await Promise.all([...Array(200).keys()].map(line => log.write(line)));
        return await log.read();
        """
    )

    assert lines == list(range(200))


async def test_keywords_reach_the_manager(provider: Connection, caller: Connection) -> None:
    await provider.register("tools", type="tool")

    services = await caller.run(
        "return await server.listServices({ query: { type: 'tool' }, _rkwargs: true })"
    )
    echoed = await caller.run("return await server.echo({ data: 'back', _rkwargs: true })")

    assert [service["name"] for service in services] == ["tools"]
    assert echoed == "back"


async def test_a_page_gets_keywords_as_its_last_argument(
    provider: Connection, caller: Connection
) -> None:
    await provider.run("await server.registerService({ id: 'tools', all: (...args) => args })")

    arguments = await caller.run(
        "return await (await server.getService('tools')).all(1, { two: 2, _rkwargs: true })"
    )

    assert arguments == [1, {"two": 2}]


async def test_two_pages_call_each_other_at_once(provider: Connection, caller: Connection) -> None:
    await provider.register("left")
    await caller.register("right")

    sums = await asyncio.gather(
        caller.call("left", "add", 1, 2), provider.call("right", "add", 3, 4)
    )

    assert list(sums) == [3, 7]


async def test_a_service_stays_callable_after_its_neighbour_is_registered(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("first")
    await caller.run("window.kept = await server.getService('first')")

    await provider.register("second")

    assert await caller.run("return await kept.add(1, 2)") == 3
