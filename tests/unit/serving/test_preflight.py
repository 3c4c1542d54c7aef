"""What is checked before a hub starts."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.serving.preflight import check_certificate, check_redis, listen


@contextlib.asynccontextmanager
async def server_that_says(answer: bytes) -> AsyncIterator[str]:
    """Run a server that gives one answer to whoever knows its password, and give its address."""

    finished = asyncio.Event()

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(4096):
                for command in data.split(b"*")[1:]:
                    is_asked = answer[:1] == b"-" or b"HELLO" in command
                    writer.write(answer if is_asked else b"+OK\r\n")
        writer.close()
        finished.set()

    server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
    async with server:
        yield f"redis://:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await finished.wait()


def hello(server: str, version: str) -> bytes:
    words = ["server", server, "version", version]
    return b"*4\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)


def test_a_free_port_is_found() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
        assert listener.getblocking() is False


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartupError, match=f"127.0.0.1:{port}: the port is in use"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(StartupError, match="cannot listen on 192.0.2.1:0: "):
        listen("192.0.2.1", 0)


def test_a_host_that_nobody_knows_is_told() -> None:
    with pytest.raises(StartupError, match="cannot listen on no.such.invalid:0"):
        listen("no.such.invalid", 0)


@pytest.mark.parametrize(
    ("server", "version"), [("redis", "7.0.0"), ("redis", "8.2.1"), ("valkey", "9.1.2")]
)
async def test_a_server_that_is_new_enough_will_do(server: str, version: str) -> None:
    async with server_that_says(hello(server, version)) as url:
        await check_redis(url)


@pytest.mark.parametrize(("server", "version"), [("redis", "6.2.14"), ("valkey", "7.1")])
async def test_a_server_that_is_too_old_is_named(server: str, version: str) -> None:
    async with server_that_says(hello(server, version)) as url:
        with pytest.raises(StartupError, match=f"{server} {version} at .* is too old") as refused:
            await check_redis(url)

    assert "hush" not in str(refused.value)


async def test_a_server_that_wants_another_password_is_told() -> None:
    async with server_that_says(b"-WRONGPASS invalid username-password pair\r\n") as url:
        with pytest.raises(StartupError, match="WRONGPASS|invalid username") as refused:
            await check_redis(url)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "unix:///no/such/socket",
        "redis+sentinel://127.0.0.1:1/main",
        "redis+cluster://127.0.0.1:1",
        "redis://127.0.0.1:port",
    ],
)
async def test_a_server_that_is_not_there_is_told_in_one_line(url: str) -> None:
    with pytest.raises(StartupError) as refused:
        await check_redis(url)

    assert url in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_real_server_will_do(valkey_url: str) -> None:
    await check_redis(valkey_url)


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="nowhere.pem"):
        check_certificate(str(tmp_path / "nowhere.pem"), str(tmp_path / "key.pem"))


def test_without_a_certificate_there_is_nothing_to_check() -> None:
    check_certificate("", "")
