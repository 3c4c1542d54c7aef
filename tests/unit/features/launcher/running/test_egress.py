import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def egress(port: int, *gateways: int, public: bool = True) -> AsyncIterator[Egress]:
    async def others() -> list[Target]:
        return [Target("127.0.0.1", each) for each in gateways]

    async with Egress(f"http://127.0.0.1:{port}", others, Supervisor(), public=public) as proxy:
        yield proxy


async def ask(proxy: Egress, request: str) -> bytes:
    target = Target.of(proxy.url)
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


@pytest.mark.parametrize("head", ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "x" * 100_000])
async def test_what_is_no_request_is_refused(hub: tuple[int, list[bytes]], head: str) -> None:
    async with egress(hub[0]) as proxy:
        assert (await ask(proxy, head)).startswith(b"HTTP/1.1 502")
