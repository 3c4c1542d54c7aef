"""Applications of frameworks behind a balancer: their providers and gateways come, go and die."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from tests.cluster.cluster import Cluster, until
from tests.cluster.conftest import StartCluster
from tests.gateways import SECOND
from tests.http import ask
from tests.webapps import Provider

if TYPE_CHECKING:  # a plugin, which pytest imports itself
    from tests.browser import Chromium
    from tests.browser_visit import Visit

pytest_plugins = ["tests.browser"]
pytestmark = [pytest.mark.cluster, pytest.mark.clients]

LIMIT = 40 * SECOND
JSON = {"Content_Type": "application/json"}
FORM = {"Content_Type": "application/x-www-form-urlencoded"}

Check = Callable[[str], Awaitable[None]]  # of an application, by its URL without a last slash


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


# What each application does, however one comes to it.


async def talk(url: str, said: dict[str, Any]) -> Any:
    async with open_websocket(url.replace("http", "ws", 1)) as socket:
        await socket.send(json.dumps(said))
        return json.loads(await socket.recv())


async def check_fastapi(url: str) -> None:
    assert (await ask(f"{url}/items/5?query=a%20b")).value == {"number": 5, "query": "a b"}
    assert (await ask(f"{url}/static/page.txt")).body == b"from a file"
    events = (await ask(f"{url}/events")).body
    assert events == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    posted = await ask(f"{url}/body", b'{"x": [1]}', Cookie="a=b", **JSON)
    assert posted.value == {"body": {"x": [1]}, "cookie": "b"}
    assert await talk(f"{url}/socket", {"a": 1}) == {"got": {"a": 1}}


async def check_current_fastapi(url: str) -> None:
    assert (await ask(f"{url}/")).value["link"] == f"{url}/items/7"
    await check_fastapi(url)


async def check_starlette(url: str) -> None:
    assert (await ask(f"{url}/")).value["link"] == f"{url}/items/7"
    assert (await ask(f"{url}/items/7")).value == {"number": 7}
    assert (await ask(f"{url}/stream")).body.split() == [b"%d" % each for each in range(20)]
    socket_url = f"{url}/socket".replace("http", "ws", 1)
    async with open_websocket(socket_url, subprotocols=["chat"]) as socket:  # type: ignore[list-item]  # a NewType
        assert socket.subprotocol == "chat"
        await socket.send("said")
        assert await socket.recv() == "said"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000


async def check_flask(url: str) -> None:
    index = await ask(f"{url}/?a=b")
    assert index.value == {"link": f"{path_of(url)}/", "query": "b"}
    assert (await ask(f"{url}/form", b"a=1&b=2", **FORM)).value == {"a": "1", "b": "2"}
    assert (await ask(f"{url}/stream")).body.split()[-1] == b"999"


async def check_django(url: str) -> None:
    assert (await ask(f"{url}/?a=b")).value == {"path": f"{path_of(url)}/", "query": "b"}


async def check_gradio(url: str) -> None:
    """As the page does it: join a queue, and hear the answer by events."""
    assert f'"root":"{url}"'.encode() in (await ask(f"{url}/")).body
    session = secrets.token_hex(5)
    asked = {"data": ["Ann"], "fn_index": 0, "session_hash": session}
    config = (await ask(f"{url}/config")).value
    asked["fn_index"] = next(
        each["id"] for each in config["dependencies"] if each["api_name"] == "greet"
    )
    joined = await ask(f"{url}/gradio_api/queue/join", json.dumps(asked).encode(), **JSON)
    assert joined.status == 200, joined
    heard = (await ask(f"{url}/gradio_api/queue/data?session_hash={session}")).body.decode()
    events = [json.loads(line.removeprefix("data: ")) for line in heard.split("\n\n") if line]
    (done,) = (each for each in events if each["msg"] == "process_completed")
    assert done["output"]["data"][0].startswith("Hello, Ann")


class Kind(NamedTuple):
    """What one program provides. shares: whether several may, with nothing in their memory."""

    environment: str
    program: str
    checks: dict[str, Check]
    shares: bool = True


KINDS = [
    Kind("frameworks-2021", "framework_program.py", {"fast": check_fastapi}),
    Kind(
        "frameworks-current",
        "framework_program.py",
        {
            "fast": check_current_fastapi,
            "starlette": check_starlette,
            "flask": check_flask,
            "django": check_django,
        },
    ),
    Kind("gradio", "gradio_program.py", {"gradio": check_gradio}, shares=False),
]


class Site:
    """A cluster of two gateways behind HAProxy, and who provides applications of one kind."""

    def __init__(self, cluster: Cluster, kind: Kind) -> None:
        self.cluster = cluster
        self.kind = kind
        self.services = dict.fromkeys(kind.checks, "public")
        self.workspace = ""

    def provider(self, client: str, **place: Any) -> Provider:
        kind, program, _, _ = self.kind
        return Provider(self.cluster.url, kind, program, self.services, client_id=client, **place)

    @property
    def urls(self) -> Sequence[str]:
        return [self.cluster.url, *(each.url for each in self.cluster.gateways if each.is_running)]

    async def check(self, urls: Sequence[str] = ()) -> None:
        """See that each application does all that it does, at each gateway and the balancer."""
        for url in urls or self.urls:
            for name, check in self.kind.checks.items():
                await check(f"{url}/{self.workspace}/apps/{name}")

    async def look(self, *urls: str) -> set[int]:
        """The statuses of all pages."""
        places = [f"{url}/{self.workspace}/apps/{name}/" for url in urls for name in self.services]
        return {(await ask(place)).status for place in places}

    async def works(self) -> bool:
        """Whether each does all; not so while a gateway remembers a provider that has gone."""
        try:
            await self.check()
        except AssertionError:
            return False
        return True

    async def has_gone(self, client: str) -> bool:
        return not await self.is_online(client)

    async def is_online(self, client: str) -> bool:
        return self.cluster.state_of(f"{self.workspace}/{client}") == "online"


@pytest.mark.parametrize("kind", KINDS, ids=[kind.environment for kind in KINDS])
async def test_applications_go_on_whatever_befalls_their_providers_and_gateways(
    kind: Kind, start_cluster: StartCluster
) -> None:
    site = Site(start_cluster(size=2), kind)
    async with site.provider("one") as first:
        site.workspace = first.workspace
        await until(partial(site.is_online, "one"), "the provider is attached")
        await site.check()

        # Doubled.
        place = {"workspace": first.workspace, "token": first.token}
        async with site.provider("another", **place):
            await until(partial(site.is_online, "another"), "the other one is attached")
            assert await site.look(*site.urls) == {200}
            if kind.shares:
                await site.check()

            # Killed.
            first.kill()
            assert await site.look(*site.urls) == {200}
            await until(partial(site.has_gone, "one"), "the provider has gone")
            await until(site.works, "the other one does all that it did")

            # Moved: the gateway drains that the other one is attached to.
            gateway = site.cluster.gateway_of(f"{site.workspace}/another")
            stopping = asyncio.create_task(asyncio.to_thread(gateway.terminate))
            statuses = set[int]()
            while not stopping.done():
                statuses |= await site.look(site.cluster.url)
            assert await stopping == 0
            assert statuses == {200}
            await site.check()

            # Registered before a gateway has started.
            await site.cluster.restart(gateway)
            await site.check()


@pytest.mark.browser
async def test_a_page_of_gradio_works_in_a_browser_and_after_its_provider_has_moved(
    start_cluster: StartCluster, chromium: "Chromium"
) -> None:
    """Its button asks by HTTP, and the answer comes by server-sent events."""
    (kind,) = (each for each in KINDS if each.environment == "gradio")
    site = Site(start_cluster(size=2), kind)
    async with site.provider("one") as provider:
        site.workspace = provider.workspace
        await until(partial(site.is_online, "one"), "the provider is attached")
        visit = await chromium.visit(site.cluster.url)
        try:
            assert await visit.go(f"/{site.workspace}/apps/gradio/") == 200
            await greeted(visit, "Ann")
            gateway = site.cluster.gateway_of(f"{site.workspace}/one")
            assert await asyncio.to_thread(gateway.terminate) == 0
            await greeted(visit, "Bob")
        finally:
            await visit.close()


async def greeted(visit: "Visit", name: str) -> None:
    """Write a name, press the button, and see the answer."""
    await visit.until("document.querySelectorAll('textarea').length === 2")
    await visit.do(lambda page: page.locator("textarea").first.fill(name))
    await visit.do(lambda page: page.get_by_role("button", name="Submit").click())
    answer = "document.querySelectorAll('textarea')[1].value"
    await visit.until(f"{answer}.startsWith('Hello, {name}, from')")
