import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.features.launcher.running.egress import Egress, Target
from hypha_cluster.supervision import Supervisor

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@asynccontextmanager
async def a_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer requests; give the port, and what was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()


@pytest.fixture
async def hub() -> AsyncIterator[tuple[int, list[bytes]]]:
    async with a_server() as server:
        yield server


def an_egress(port: int, *gateways: int, public: bool = True) -> Egress:
    async def others() -> list[Target]:
        return [Target("127.0.0.1", each) for each in gateways]

    return Egress(f"http://127.0.0.1:{port}", others, Supervisor(), public=public)


@asynccontextmanager
async def egress(port: int, *gateways: int, public: bool = True) -> AsyncIterator[str]:
    async with an_egress(port, *gateways, public=public).door(lambda *_: None) as url:
        yield url


async def ask(proxy: str, request: str) -> bytes:
    target = Target.of(proxy)
    reader, writer = await asyncio.open_connection(*target)
    writer.write(request.encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_the_hub_is_reached(hub: tuple[int, list[bytes]]) -> None:
    port, asked = hub
    async with egress(port, public=False) as proxy:
        request = f"GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\nProxy-Connection: x\r\nA: b\r\n\r\n"
        assert await ask(proxy, request) == ANSWER

    assert asked == [b"GET /a?b HTTP/1.1\r\nConnection: close\r\nA: b\r\n\r\n"]


async def test_no_page_says_from_where_it_comes(hub: tuple[int, list[bytes]]) -> None:
    port, asked = hub
    said = (
        "X-Forwarded-For: 203.0.113.9\r\nx-forwarded-host: evil.example\r\nX-FORWARDED-PROTO: h\r\n"
        "X-Forwarded-Prefix : /a\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n"
    )
    async with egress(port) as proxy:
        await ask(proxy, f"GET http://127.0.0.1:{port}/a HTTP/1.1\r\n{said}X-Forward: b\r\n\r\n")

    assert asked == [b"GET /a HTTP/1.1\r\nConnection: close\r\nX-Forward: b\r\n\r\n"]


async def test_a_tunnel_to_the_hub_passes_all_on(hub: tuple[int, list[bytes]]) -> None:
    port, _ = hub
    async with egress(port) as proxy:
        answer = await ask(
            proxy, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        )

    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n" + ANSWER


async def test_another_gateway_answers_when_the_first_is_gone(
    hub: tuple[int, list[bytes]],
) -> None:
    port, _ = hub
    async with a_server() as (gone, _asked):
        pass
    async with egress(gone, port) as proxy:
        assert await ask(proxy, f"GET http://127.0.0.1:{gone}/ HTTP/1.1\r\n\r\n") == ANSWER


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:{}", "localhost:{}", "[::1]:{}", "169.254.169.254", "10.0.0.1", "0.0.0.0:{}"),
        *("[::ffff:127.0.0.1]:{}", "2130706433:{}", "0x7f000001:{}"),
    ],
)
@pytest.mark.parametrize("form", ["GET http://{}/ HTTP/1.1\r\n\r\n", "CONNECT {} HTTP/1.1\r\n\r\n"])
async def test_other_programs_of_this_machine_are_not(
    hub: tuple[int, list[bytes]], form: str, host: str
) -> None:
    async with a_server() as (other, asked), egress(hub[0]) as proxy:
        answer = await ask(proxy, form.format(host.format(other)))

    assert answer.split(b" ")[1] in (b"403", b"502")
    assert asked == []


async def test_nothing_else_is_reached_where_the_operator_says_so(
    hub: tuple[int, list[bytes]],
) -> None:
    async with egress(hub[0], public=False) as proxy:
        answer = await ask(proxy, "CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n")

    assert b"Pages of apps reach the hub only." in answer


async def test_a_page_that_is_refused_things_fills_no_log_of_the_operator(
    hub: tuple[int, list[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with egress(hub[0]) as proxy:
        answer = await ask(proxy, "CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 403")
    assert caplog.records == []


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections are opened to; none of them gets there."""
    opened: list[tuple[str, int]] = []
    real = asyncio.open_connection

    async def connect(host: str, port: int, **more: Any) -> Any:
        if host == "127.0.0.1":  # of the test itself
            return await real(host, port, **more)
        opened.append((host, port))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", connect)
    return opened


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have names mean these addresses, others each time."""
    left = [*answers]

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:10.0.0.1", "fec0::1"),
    *("::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "::7f00:1"),
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_name_leads_to_where_not_everybody_gets(
    hub: tuple[int, list[bytes]],
    connected: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    async with egress(hub[0]) as proxy:
        resolve(monkeypatch, [address])
        alone = await ask(proxy, "CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
        resolve(monkeypatch, ["93.184.216.34", address])
        among = await ask(proxy, "GET http://evil.example/ HTTP/1.1\r\n\r\n")

    for answer in (alone, among):
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"is in no network that everybody reaches" in answer
    assert connected == []


async def test_a_name_that_means_something_else_a_moment_later_leads_nowhere(
    hub: tuple[int, list[bytes]],
    connected: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with egress(hub[0]) as proxy:
        resolve(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
        await ask(proxy, "CONNECT evil.example:443 HTTP/1.1\r\n\r\n")

    assert connected == [("93.184.216.34", 443)]  # the address that was looked at, no name


@pytest.mark.parametrize(
    ("asked", "port"),
    [
        ("GET http://a.example/ HTTP/1.1\r\n\r\n", 80),
        ("CONNECT a.example:80 HTTP/1.1\r\n\r\n", 80),
        ("CONNECT a.example:443 HTTP/1.1\r\n\r\n", 443),
        *((f"CONNECT a.example:{port} HTTP/1.1\r\n\r\n", 0) for port in (22, 25, 6379, 8080)),
        ("GET http://a.example:6379/ HTTP/1.1\r\n\r\n", 0),
        ("CONNECT a.example:{hub} HTTP/1.1\r\n\r\n", 0),
    ],
)
async def test_of_others_the_ports_of_the_web_alone_are_reached(
    hub: tuple[int, list[bytes]],
    connected: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    port: int,
) -> None:
    async with egress(hub[0]) as proxy:
        resolve(monkeypatch, ["93.184.216.34"])
        answer = await ask(proxy, asked.format(hub=hub[0]))

    assert connected == ([("93.184.216.34", port)] if port else [])
    assert (b"Pages of apps reach the ports 80 and 443 of others" in answer) is (port == 0)


async def test_the_hubs_own_name_has_no_other_port(hub: tuple[int, list[bytes]]) -> None:
    async with a_server() as (other, asked), egress(hub[0]) as proxy:
        answer = await ask(proxy, f"CONNECT 127.0.0.1:{other} HTTP/1.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 403")
    assert asked == []


async def test_each_page_has_a_door_of_its_own(hub: tuple[int, list[bytes]]) -> None:
    told: list[tuple[str, str]] = []
    request = f"GET http://127.0.0.1:{hub[0]}/ HTTP/1.1\r\n\r\n"
    doors = an_egress(hub[0], public=False)
    async with doors.door(lambda *entry: told.append(entry)) as one:
        async with doors.door(lambda *_: None) as other:
            assert one != other
            await ask(one, "CONNECT a.example:443 HTTP/1.1\r\n\r\n")
            await ask(other, "CONNECT b.example:443 HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionRefusedError):
            await ask(other, request)
        assert await ask(one, request) == ANSWER

    refused = "The hub's proxy refuses what the page asks for: Pages of apps reach the hub only."
    assert told == [("warning", refused)]


@pytest.mark.parametrize("head", ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "x" * 100_000])
async def test_what_is_no_request_is_refused(hub: tuple[int, list[bytes]], head: str) -> None:
    async with egress(hub[0]) as proxy:
        assert (await ask(proxy, head)).startswith(b"HTTP/1.1 502")
