"""Paths and headers that a proxy may read otherwise than the hub: none leads to what is private."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from hypha_cluster.identity.access import Identity
from tests.gateways import SECOND, Gateway, Value
from tests.http import ask
from tests.raw_client import RawClient
from tests.token_rig import SECRET, token_of

ANN: Final = Identity("ann", False, "ann@example.org")
LIMIT: Final = 20 * SECOND
PRIVATE: Final = b"what is private"


class Site(NamedTuple):
    """Two gateways; the second believes no proxy. `files` has a secret beside what it serves."""

    url: str
    wary: str
    log: Any


@pytest.fixture(scope="module")
def site(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("paths")
    served = directory / "served"
    served.mkdir()
    (served / "page.txt").write_bytes(b"for all")
    (directory / "secret.txt").write_bytes(PRIVATE)
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": f"paths-{secrets.token_hex(4)}",
        "jwt_secret": SECRET,
        "enable_server_apps": True,
        "app_runners": "elsewhere",
        "static_mounts": f"/files:{served}",
        "max_requests": 50,
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(Gateway(directory / f"{number}.log", **{**settings, **others}))
            for number, others in enumerate(({}, {"trusted_proxies": "203.0.113.0/24"}))
        )
        yield Site(first.url, second.url, lambda: first.log() + second.log())


@pytest.fixture
async def victim(site: Site) -> AsyncIterator[RawClient]:
    """Ann's client, with a service, a web application and an app for her workspace alone."""
    async with (
        await RawClient.connect(site.wary, token=token_of(ANN)) as client,
        await RawClient.connect(site.url, token=token_of(ANN)) as friend,
    ):
        await client.offer("closed", work=lambda *_: PRIVATE, index=lambda event: {"body": PRIVATE})
        config = {"name": "app", "type": "web-worker"}
        install = "services.server-apps.install"
        manager = "public/workspace-manager"
        if not await friend.call(manager, "services.server-apps.list_apps"):
            await friend.call(manager, install, PRIVATE.decode(), config=config, app_id="app")
        yield client
        assert not [got for got in client.received if got.method.startswith("services.closed.")]
        assert await friend.call(client.address, "services.closed.work") == PRIVATE
        assert "Traceback" not in site.log()


async def answer(url: str, request: bytes) -> bytes:
    """Send bytes as they are; answer all that comes until the server ends the connection."""
    place = urlsplit(url)
    assert place.hostname
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request)
        async with asyncio.timeout(LIMIT):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def get(url: str, target: str, *headers: str, method: str = "GET") -> bytes:
    """Ask for a target as it is written, in one request that is the last of its connection."""
    lines = [f"{method} {target} HTTP/1.1", "Host: hub.example", *headers, "Connection: close"]
    return await answer(url, "\r\n".join([*lines, "", ""]).encode("latin-1"))


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


# Paths.

TO_ANN: Final = (
    "/ann/services/closed/work",
    "/ann/services/closed/work/",
    "//ann/services/closed/work",
    "/ann//services/closed/work",
    "/ann/services//closed/work",
    "/ann/./services/closed/work",
    "/./ann/services/closed/work",
    "/public/../ann/services/closed/work",
    "/public/services/../../ann/services/closed/work",
    "/public/services/..%2f..%2fann%2fservices%2fclosed/work",
    "/public/%2e%2e/ann/services/closed/work",
    "/public/%252e%252e/ann/services/closed/work",
    "/public/services/ann%2f*:closed/work",
    "/public/services/ann/*:closed/work",
    "/public/services/*:closed/work",
    "/public/services/closed/work",
    "/ann%2fservices%2fclosed%2fwork",
    "/ann%2Fservices/closed/work",
    "/ann/services%2Fclosed/work",
    "/ann/services/closed%2Fwork",
    "/ann/services/%63losed/work",
    "/%61nn/services/closed/work",
    "/%2561nn/services/closed/work",
    "/ann;x/services/closed/work",
    "/ann/services/closed;x/work",
    "/ann/services/closed/work;x=y",
    "/ann/services/closed/work%00",
    "/ann%00/services/closed/work",
    "/ann\\services\\closed\\work",
    "/ann%5cservices%5cclosed%5cwork",
    "/ANN/services/closed/work",
    "/ann /services/closed/work",
    "/ann%20/services/closed/work",
    "/ann/services/closed/work?workspace=public",
    "/services/call?service_id=closed&workspace=ann&function_key=work",
    "/services/call?service_id=ann/*:closed&workspace=public&function_key=work",
    "/services/call?service_id=*:closed&workspace=public&workspace=ann&function_key=work",
    "/services/call?service_id=closed&workspace=ann%00&function_key=work",
    "/ann/apps/closed/",
    "/ann/apps/closed/index",
    "/public/apps/..%2f..%2fann%2fapps%2fclosed/",
    "/public/apps/ann%2f*:closed/",
    "/ann/apps/%2e%2e/closed/",
    "/ann/openapi.json/../services/closed/work",
    "http://hub.example/ann/services/closed/work",
    "http://127.0.0.1/ann/services/closed/work",
    "https://ann/services/closed/work",
    "/health/live/../../ann/services/closed/work",
    "/files/../ann/services/closed/work",
    "/files/..%2fann/services/closed/work",
    "*",
    "ann/services/closed/work",
)


@pytest.mark.parametrize("target", TO_ANN)
async def test_no_path_leads_to_what_is_private(site: Site, victim: RawClient, target: str) -> None:
    for url in (site.url, site.wary):
        for method in ("GET", "POST", "HEAD"):
            reply = await get(url, target, "Content-Length: 0", method=method)
            assert PRIVATE not in reply
            assert status(reply) < 500, reply[:200]


TO_FILES: Final = (
    "/files/../secret.txt",
    "/files/..%2fsecret.txt",
    "/files/%2e%2e/secret.txt",
    "/files/%2e%2e%2fsecret.txt",
    "/files/%252e%252e%252fsecret.txt",
    "/files/..;/secret.txt",
    "/files//../secret.txt",
    "/files/./../secret.txt",
    "/files/page.txt/../../secret.txt",
    "/files/..%5csecret.txt",
    "/files/..\\secret.txt",
    "/files/%c0%ae%c0%ae/secret.txt",
    "/files/%00/../secret.txt",
    "/files/....//secret.txt",
    "/assets/imjoy-rpc@0.5.59/../../../../secret.txt",
    "/assets/imjoy-rpc@0.5.59/..%2f..%2f..%2fsecret.txt",
    "/assets/..%2f..%2fetc/passwd",
    "/pages/../../secret.txt",
    "/pages/..%2f..%2fsecret.txt",
    "/pages/%2e%2e%2f%2e%2e%2fsecret.txt",
    "/apps/ann/app/index.html",
    "/apps/ann/app/%69ndex.html",
    "/apps/ann//app/index.html",
    "/apps/public/..%2fann/app/index.html",
    "/apps/ann/app/~/index.html",
    "/apps/ann/app/~x/index.html",
    "/apps/ann/app/~..%2f/index.html",
    "/apps/ann/app/index.html?token=",
    "/apps/ann/app/index.html?token=x&token=",
)


@pytest.mark.parametrize("target", TO_FILES)
async def test_no_path_leads_to_a_file_that_is_not_for_all(
    site: Site, victim: RawClient, target: str
) -> None:
    for url in (site.url, site.wary):
        for method in ("GET", "HEAD"):
            reply = await get(url, target, method=method)
            assert PRIVATE not in reply
            assert b"root:" not in reply
            assert 300 <= status(reply) < 500, reply[:200]
    assert b"for all" in await get(site.url, "/files/page.txt")


# Headers.


async def test_a_stranger_does_not_say_from_where_they_come(site: Site, victim: RawClient) -> None:
    """Nor by which address the hub is reached; another limit for each request would be none."""
    said = (
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Port: 666",
        "Forwarded: for=10.0.0.1;host=evil.example;proto=https",
        "X-Real-IP: 10.0.0.1",
        "X-Original-URL: /ann/services/closed/work",
        "X-Rewrite-URL: /ann/services/closed/work",
        "X-HTTP-Method-Override: POST",
        "True-Client-IP: 10.0.0.1",
        "CF-Connecting-IP: 10.0.0.1",
    )
    for target in ("/public/services/hypha-login/start", "/account", "/", "/public/services"):
        reply = await get(site.wary, target, *said, "X-Forwarded-For: 10.0.0.1")
        assert status(reply) < 400
        assert b"evil" not in reply
        assert b"https://hub" not in reply
        assert PRIVATE not in reply
    answers = await asyncio.gather(
        *(
            get(site.wary, "/public/services", f"X-Forwarded-For: 10.0.{number}.1")
            for number in range(600)
        )
    )
    assert 429 in map(status, answers)  # as it is one address, whatever they say
    assert (await ask(f"{site.url}/public/services")).status == 200  # and trusted ones go on


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: evil.example",),
        ("Authorization: Bearer x", "Authorization: Bearer y"),
        ("Authorization: Bearer x", "authorization: y"),
        ("Content-Length: 5", "Content-Length: 0"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding:\x0bchunked",),
        (" Host: evil.example",),
        ("X: y\r\n Host: evil.example",),
        ("X: y\rHost: evil.example",),
        ("X\x00: y",),
        (": y",),
    ],
    ids=repr,
)
async def test_headers_of_two_meanings_are_refused(
    site: Site, victim: RawClient, headers: tuple[str, ...]
) -> None:
    for url in (site.url, site.wary):
        reply = await get(url, "/public/services", *headers)

        assert status(reply) in (400, 501), reply[:200]


async def test_which_token_counts_is_the_same_for_all_that_asks(
    site: Site, victim: RawClient
) -> None:
    """Two of them, of which one is good, in whichever order, are none."""
    good, bad = f"Authorization: Bearer {token_of(ANN)}", "Authorization: Bearer x"
    for target in ("/ann/services/closed/work", "/ann/apps/closed/", "/ann/info"):
        for headers in ((good, bad), (bad, good), (good, good)):
            reply = await get(site.url, target, *headers)
            assert (status(reply), PRIVATE in reply) == (400, False)


SMUGGLED: Final = "GET /ann/services/closed/work HTTP/1.1\r\nHost: hub.example\r\n\r\n"
POST: Final = "POST /public/services/hypha-login/check HTTP/1.1\r\nHost: hub.example\r\n"
CARRIERS: Final = {
    "in a body of a length": f"{POST}Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "length, then chunks": f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"0\r\n\r\n{SMUGGLED}",
    "chunks, then length": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    f"0\r\n\r\n{SMUGGLED}",
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "a length with a sign": f"{POST}Content-Length: +0\r\n\r\n{SMUGGLED}",
    "a length that is a list": f"{POST}Content-Length: 0, 0\r\n\r\n{SMUGGLED}",
    "a space before the colon": f"{POST}Content-Length : 0\r\n\r\n{SMUGGLED}",
    "a folded length": f"{POST}Content-Length:\r\n 0\r\n\r\n{SMUGGLED}",
    "chunks of another coding": f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n"
    f"0\r\n\r\n{SMUGGLED}",
    "a chunk with a sign": f"{POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{SMUGGLED}",
    "a chunk that is too large": f"{POST}Transfer-Encoding: chunked\r\n\r\n"
    f"fffffffffffffffff\r\n{SMUGGLED}",
    "bare line feeds": f"{POST.replace(chr(13), '')}Content-Length: 0\n\n{SMUGGLED}",
}


@pytest.mark.parametrize("name", CARRIERS)
async def test_no_request_hides_in_another(site: Site, victim: RawClient, name: str) -> None:
    """A proxy that lets one request pass gets one answer, or an end to the connection."""
    raw = CARRIERS[name].replace("HTTP/1.1\r\nHost", "HTTP/1.1\r\nConnection: close\r\nHost", 1)

    for url in (site.url, site.wary):
        reply = await answer(url, raw.encode())

        assert reply.count(b"HTTP/1.1 ") == 1, reply
        assert 400 <= status(reply) < 502
        assert PRIVATE not in reply


async def test_nobody_reads_files_by_name_of_the_machine(site: Site, victim: RawClient) -> None:
    for name in ("/etc/passwd", "file:///etc/passwd", "C:\\secret.txt", str(Path(__file__))):
        reply = await get(site.url, f"/files/{name}")
        assert 300 <= status(reply) < 500
        assert b"root:" not in reply
