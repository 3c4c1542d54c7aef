"""Web applications behind a balancer: providers and gateways come, go and die under them."""

import asyncio
import http.client
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from tests.cluster.cluster import Cluster, Member, until
from tests.cluster.conftest import StartCluster
from tests.gateways import SECOND
from tests.http import Answer, ask
from tests.webapps import Provider

pytestmark = [pytest.mark.cluster, pytest.mark.clients]

LIMIT = 40 * SECOND
RESTARTING = 1012  # what makes pages come back


class Site:
    """A cluster of two gateways behind HAProxy, and a provider that came by the balancer."""

    def __init__(self, cluster: Cluster, provider: Provider) -> None:
        self.cluster = cluster
        self.provider = provider
        self.near = cluster.gateway_of(f"{provider.workspace}/one")
        (self.far,) = (each for each in cluster.gateways if each is not self.near)

    def base(self, url: str = "") -> str:
        return f"{url or self.cluster.url}/{self.provider.workspace}/apps/plain"

    async def get(self, path: str, url: str = "") -> Answer:
        return await ask(f"{self.base(url)}/{path}")

    def another(self) -> Provider:
        """One more client that offers the same."""
        place: dict[str, Any] = {
            "workspace": self.provider.workspace,
            "token": self.provider.token,
            "client_id": "another",
        }
        return Provider(self.cluster.url, **place)


@pytest.fixture
async def site(start_cluster: StartCluster) -> AsyncIterator[Site]:
    cluster = start_cluster(size=2)
    async with Provider(cluster.url, client_id="one") as provider:

        async def is_online() -> bool:
            return cluster.state_of(f"{provider.workspace}/one") == "online"

        await until(is_online, "the provider is attached")
        yield Site(cluster, provider)


class Stream:
    """An answer that goes on and on, from one gateway."""

    def __init__(self, url: str) -> None:
        place = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(place.netloc, timeout=LIMIT)
        self._connection.request("GET", place.path)
        self._answer = self._connection.getresponse()

    def line(self) -> bytes:
        return self._answer.readline()

    def rest(self) -> bytes:
        try:
            return self._answer.read()
        finally:
            self._connection.close()


def stop(gateway: Member) -> "asyncio.Task[int]":
    return asyncio.create_task(asyncio.to_thread(gateway.terminate))


async def test_every_gateway_and_the_balancer_serve_it(site: Site) -> None:
    urls = [site.cluster.url, site.near.url, site.far.url]

    pages = [(await site.get("", url)).body for url in urls]
    sizes = [(await ask(f"{site.base(url)}/size", b"x" * 3_000_000)).value[0] for url in urls]
    echoes = []
    for url in urls:
        async with open_websocket(f"{site.base(url)}/socket".replace("http", "ws", 1)) as socket:
            await socket.send("text")
            echoes.append(await socket.recv())

    assert pages == [b"index of one"] * 3
    assert sizes == [3_000_000] * 3
    assert echoes == ["text"] * 3


async def test_it_goes_with_its_provider_to_another_gateway(site: Site) -> None:
    """The provider's gateway drains; whoever asks meanwhile, by the balancer, notices nothing."""
    stopping, answers = stop(site.near), []
    while not stopping.done():
        answers.append(await site.get(""))
    answers += [await site.get("") for _ in range(5)]

    assert await stopping == 0
    assert len(answers) > 10
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"index of one")}
    assert (await site.get("", site.far.url)).body == b"index of one"


async def test_it_is_back_when_its_providers_gateway_was_killed(site: Site) -> None:
    await site.get("", site.far.url)
    site.near.kill()

    answer = await site.get("", site.far.url)
    async with asyncio.timeout(LIMIT):
        while answer.status != 200:
            assert answer.status in (502, 503, 504), answer
            answer = await site.get("", site.far.url)

    assert answer.body == b"index of one"


async def test_a_page_that_loads_is_asked_for_at_another_provider(site: Site) -> None:
    """Within 2 s a gateway sees that it is suspended; then the other one does the whole work."""
    loading = asyncio.create_task(site.get("nap?3"))
    async with site.another():
        site.provider.kill()
        answer = await loading

    assert (answer.status, answer.body) == (200, b"slept")


async def test_several_providers_share_the_load(site: Site) -> None:
    async with site.another():
        answers = await asyncio.gather(*(site.get("show") for _ in range(20)))
        seen = {(await site.get("", url)).body for url in (site.near.url,) * 20}

    assert all(answer.status == 200 for answer in answers)
    assert seen == {b"index of one", b"index of another"}


async def test_a_page_that_loads_is_finished_by_a_gateway_that_drains(site: Site) -> None:
    loading = asyncio.create_task(site.get("nap?1", site.far.url))
    await asyncio.sleep(0.3)

    stopping = stop(site.far)

    assert (await loading).body == b"slept"
    assert await stopping == 0


async def test_what_is_open_ends_with_its_gateway_so_that_pages_come_back(site: Site) -> None:
    stream = await asyncio.to_thread(Stream, f"{site.base(site.far.url)}/drip")
    assert await asyncio.to_thread(stream.line) == b"0\n"
    url = f"{site.base(site.far.url)}/socket".replace("http", "ws", 1)
    async with open_websocket(url) as socket:
        await socket.send("text")
        assert await socket.recv() == "text"

        stopping = stop(site.far)

        async with asyncio.timeout(LIMIT):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == RESTARTING
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await asyncio.to_thread(stream.rest)
    assert await stopping == 0
    assert (await site.provider.notice("websocket closed"))["code"] == RESTARTING
    assert "Traceback" not in site.far.log()
    back = f"{site.base()}/socket".replace("http", "ws", 1)
    async with open_websocket(back) as socket:
        await socket.send("again")
        assert await socket.recv() == "again"
