"""What systemd passes and is told, by environment variables."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.serving.systemd import READY, notify, passed_listener


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def passing(count: str = "1") -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "hub.socket"}


def test_a_socket_that_is_passed_is_used(listener: socket.socket) -> None:
    environ = passing()

    found = passed_listener(environ, os.dup(listener.fileno()))

    assert found
    with found:
        assert found.getsockname() == listener.getsockname()
        assert not found.getblocking()
    assert environ == {}


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid())}]
)
def test_a_socket_for_somebody_else_is_left_alone(environ: dict[str, str]) -> None:
    assert passed_listener(environ) is None
    assert environ == {}


def test_two_sockets_are_refused() -> None:
    with pytest.raises(StartupError, match="systemd passes 2 sockets"):
        passed_listener(passing("2"))


def test_a_socket_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle, pytest.raises(StartupError, match="must be TCP"):
        passed_listener(passing(), os.dup(idle.fileno()))


def test_a_local_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "hub.sock"))
        local.listen()

        with pytest.raises(StartupError, match="must be TCP: write ListenStream=9000"):
            passed_listener(passing(), os.dup(local.fileno()))


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    reader, writer = os.pipe()
    os.close(writer)

    with pytest.raises(StartupError, match="cannot be used"):
        passed_listener(passing(), reader)
    os.close(reader)


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told_where_the_hub_stands(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@hypha-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))

        notify(READY, {"NOTIFY_SOCKET": name})

        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/no/such/socket"}])
def test_who_has_no_systemd_tells_nobody(environ: dict[str, str]) -> None:
    notify(READY, environ)
