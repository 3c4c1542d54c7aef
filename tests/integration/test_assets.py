"""The client for JavaScript from any gateway, as pages and proxies want it."""

import hashlib
from pathlib import Path

import pytest

from hypha_cluster.web import assets
from tests.client_environments import cache
from tests.conftest import GatewayFactory
from tests.gateways import Hub
from tests.http import ask

FILES = ("dist/hypha-rpc-websocket.min.js", "dist/hypha-rpc-sse.min.js")


@pytest.mark.parametrize("file", FILES)
async def test_every_gateway_serves_the_same_file(hub: Hub, file: str) -> None:
    first, second = [
        await ask(node + assets.url("imjoy-rpc", file)) for node in (hub.first, hub.second)
    ]

    assert first.status == second.status == 200
    assert first.headers["etag"] == second.headers["etag"]
    assert "immutable" in first.headers["cache-control"]
    assert first.body == second.body
    published = cache() / "npm" / "0.5.59" / "package" / file
    if published.exists():
        assert hashlib.sha256(first.body).digest() == sha256(published)


async def test_who_has_it_already_gets_nothing_again(hub: Hub) -> None:
    url = hub.first + assets.url("imjoy-rpc", FILES[0])
    tag = (await ask(url)).headers["etag"]

    again = await ask(url, If_None_Match=tag, Accept_Encoding="gzip")

    assert (again.status, again.body) == (304, b"")


async def test_it_is_shorter_for_who_reads_gzip(hub: Hub) -> None:
    url = hub.first + assets.url("imjoy-rpc", FILES[0])

    packed = await ask(url, Accept_Encoding="gzip")

    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len((await ask(url)).body) / 2


@pytest.mark.parametrize(
    "path",
    [
        "/assets/imjoy-rpc@0.5.59/..%2f..%2fcatalogue.py",
        "/assets/imjoy-rpc@0.5.59/../../catalogue.py",
        "/assets/imjoy-rpc@0.5.59/",
        "/assets/x@1/y",
        "/assets/",
    ],
)
async def test_nothing_else_is_found(hub: Hub, path: str) -> None:
    answer = await ask(hub.first + path)

    assert answer.status == 404
    assert answer.value["success"] is False


async def test_it_is_below_the_base_path_too(gateway_factory: GatewayFactory) -> None:
    url = gateway_factory(base_path="/hub").url

    answer = await ask(f"{url}/hub{assets.url('imjoy-rpc', FILES[0])}")

    assert answer.status == 200


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
