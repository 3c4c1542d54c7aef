"""A call to what is not there ends in an error at once, not in a time-out."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import NamedTuple

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, within
from tests.gateways import SECOND, Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


class Answer(NamedTuple):
    status: int
    body: object


async def request(url: str) -> Answer:
    return await asyncio.to_thread(_request, url)


def _request(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=20 * SECOND) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.load(error))


@pytest.mark.parametrize("client", ["nobody", "WS/nobody", "no-such-workspace/nobody"])
async def test_a_service_of_a_client_that_never_was(caller: Connection, client: str) -> None:
    caller.page.tolerate("Failed to get remote service")
    service = f"{client.replace('WS', caller.workspace)}:tools"

    with within(1), pytest.raises(JavaScriptError, match=r"(?i)not found|no such|denied"):
        await caller.run("await server.rpc.get_remote_service(service)", service=service)


async def test_a_service_that_the_client_does_not_have(
    provider: Connection, caller: Connection
) -> None:
    # The client itself says nothing: it only writes to its console.
    await provider.register("tools")
    for page in (provider.page, caller.page):
        page.tolerate("Service not found|Failed to get remote service")

    with within(1), pytest.raises(JavaScriptError, match=r"(?i)not found|no such"):
        await caller.get(f"{provider.address}:no-such-service")


@pytest.mark.parametrize("leave", ["close the page", "disconnect"])
async def test_a_function_of_a_client_that_has_left(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient, leave: str
) -> None:
    caller = await javascript.connect(hub.second)
    provider = await caller.invite(own_page, hub.first)
    await provider.register("tools")
    await caller.run("window.tools = await server.getService('tools')")
    await (own_page.close() if leave == "close the page" else provider.disconnect())

    with within(1), pytest.raises(JavaScriptError, match=r"(?i)not found|no such|left|gone"):
        await caller.run("await tools.add(1, 2)")


async def test_a_call_that_is_running_when_the_client_leaves(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient
) -> None:
    # The callback that it was waiting for has nobody to answer any more.
    javascript.tolerate("Failed to get session store")
    caller = await javascript.connect(hub.second)
    provider = await caller.invite(own_page, hub.first)
    await provider.register("tools")
    await caller.run(
        """
        const tools = await server.getService("tools");
        // The call has arrived when its callback is called.
        await new Promise(arrived => {
          const callback = () => new Promise(done => { window.finish = done; arrived(); });
          window.running = tools.numbered(callback, 1);
          running.catch(() => {});
        });
        """
    )

    await own_page.close()

    with within(1), pytest.raises(JavaScriptError, match=r"(?i)not found|no such|left|gone"):
        await caller.run("try { await running; } finally { finish(); }")


async def test_over_http_a_page_answers(hub: Hub, javascript: BrowserClient) -> None:
    provider = await javascript.connect(hub.first)
    await provider.register("tools", config={"visibility": "public"})
    services = f"{hub.second}/{provider.workspace}/services"

    answer = await request(f"{services}/tools/echo?name=John")

    assert answer == (200, {"name": "John"})


@pytest.mark.parametrize(
    "path", ["tools/no-such-function", "CID:tools/no-such-function", "no-such-service/add"]
)
async def test_over_http_what_is_not_there_is_an_error(
    hub: Hub, javascript: BrowserClient, path: str
) -> None:
    provider = await javascript.connect(hub.first)
    await provider.register("tools", config={"visibility": "public"})
    services = f"{hub.second}/{provider.workspace}/services"

    with within(1):
        answer = await request(f"{services}/{path.replace('CID', provider.client_id)}")

    assert answer.status >= 400
    assert isinstance(answer.body, dict)
    assert answer.body["success"] is False
    assert answer.body["detail"]
