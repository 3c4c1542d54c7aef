"""Functions travel as arguments and as results."""

import pytest

from tests.browser_client import Connection

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_a_callback_is_called_as_often_as_the_service_wants(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    answers = await caller.run(
        "return await (await server.getService('tools')).numbered(index => index * 10, 5)"
    )

    assert answers == [0, 10, 20, 30, 40]


async def test_callbacks_may_hide_in_objects(provider: Connection, caller: Connection) -> None:
    await provider.run(
        """
        await server.registerService({
          id: "tools",
          report: async ({ listeners }) => {
            for (const listener of listeners) await listener("progress");
            return "done";
          },
        });
        """
    )

    heard = await caller.run(
        """
        const heard = [];
        const listeners = [1, 2].map(index => text => { heard.push(`${index} ${text}`); });
        heard.push(await (await server.getService("tools")).report({ listeners }));
        return heard;
        """
    )

    assert heard == ["1 progress", "2 progress", "done"]


async def test_what_goes_wrong_in_a_callback_reaches_the_service(
    provider: Connection, caller: Connection
) -> None:
    await provider.run(
        """
        await server.registerService({
          id: "tools",
          attempt: async callback => {
            try { return await callback(); } catch (error) { return "caught " + error.message; }
          },
        });
        """
    )
    caller.page.tolerate("out of paper")

    caught = await caller.run(
        """
        const tools = await server.getService("tools");
        return await tools.attempt(async () => { throw new Error("out of paper"); });
        """
    )

    assert "out of paper" in caught


async def test_an_object_with_functions_can_be_a_result(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    counted = await caller.run(
        """
        const counter = await (await server.getService("tools")).counter(5);
        return [await counter.next(), await counter.next(), await counter.next()];
        """
    )

    assert counted == [6, 7, 8]


async def test_a_callback_of_a_third_client_can_be_passed_on(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    total = await caller.run(
        """
        const tools = await server.getService("tools");
        return await (await tools.echo(tools.add))(20, 22);
        """
    )

    assert total == 42
