"""HAProxy with the configuration that is shipped, and the name service that it asks.

Gateways of a test share a port, and have loopback addresses of their own: so they are found as in
a compose file, by one name with many addresses.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from tests.gateways import POLL, STARTING_TIME, status

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"
NAME = "gateway"
_ADDRESS_RECORD, _INTERNET = 1, 1
_SECONDS_TO_LIVE = 1


class Missing(Exception):
    """A balancer is not here and cannot be installed."""


def install(program: str) -> str:
    """Return where a balancer is; on a Debian machine, install the package of its name first."""
    if not _path(program) and os.geteuid() == 0 and shutil.which("apt-get"):
        # In this run level no service is started.
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", program]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                env=quiet,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
    path = _path(program)
    if not path:
        raise Missing(f"{program} is missing; `apt-get install {program}` as root installs it")
    return path


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def free_port() -> int:
    """A port that is free on all addresses of this machine."""
    with closing(socket.socket()) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


class NameService:
    """Answers every question with the same addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, source = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), source)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5  # of the question: its name, type and class
        (kind,) = struct.unpack_from("!H", query, end - 4)
        addresses = self._addresses if kind == _ADDRESS_RECORD else []
        # The query's id; an answer, no error; one question, so many answers, nothing else.
        header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
        # A record's name is a pointer to the question's.
        record = struct.pack("!HHHIH", 0xC00C, _ADDRESS_RECORD, _INTERNET, _SECONDS_TO_LIVE, 4)
        answers = [record + socket.inet_aton(address) for address in addresses]
        return header + query[12:end] + b"".join(answers)


class Balancer:
    """A balancer in front of the gateways at these addresses, which share a port."""

    name: str

    def __init__(self, directory: Path, addresses: Sequence[str], gateway_port: int) -> None:
        self._directory = directory
        self._log = directory / "balancer.log"
        self._addresses = addresses
        self._names = NameService(addresses)
        self._gateway_port = gateway_port
        self._port = free_port()
        self._stack = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._names)
            output = stack.enter_context(self._log.open("ab"))
            self._process = subprocess.Popen(
                self._command(),
                env={"PATH": os.environ.get("PATH", ""), **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            stack.callback(self._stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def await_ready(self) -> Self:
        """Wait until the balancer has found a gateway that is ready."""
        deadline = time.monotonic() + STARTING_TIME
        while status(f"{self.url}/health/ready") != 200:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(POLL)
        return self

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @staticmethod
    def program() -> str:
        """Return where it is; raise Missing if it is nowhere."""
        raise NotImplementedError

    def _command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        raise NotImplementedError

    def _stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # with the workers that some have
        self._process.wait()


class HAProxy(Balancer):
    """HAProxy with the configuration that is shipped."""

    name = "haproxy"

    @staticmethod
    def program() -> str:
        return install("haproxy")

    def _command(self) -> Sequence[str | Path]:
        return [self.program(), "-db", "-f", CONFIGURATION]

    def _environment(self) -> dict[str, str]:
        return {
            "GATEWAYS": f"{NAME}:{self._gateway_port}",
            "GATEWAYS_DNS": self._names.address,
            "BALANCER_BIND": f"127.0.0.1:{self._port}",
        }
