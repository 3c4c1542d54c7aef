"""Fixtures of all tests: a real Redis-compatible server, and real gateways on it."""

import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from hypha_cluster.config import IN_MEMORY
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.serving.embedded import embedded_store
from tests.gateways import Gateway, Hub, Value

GatewayFactory = Callable[..., Gateway]


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Run a real server for the session, empty at first."""
    with embedded_store(IN_MEMORY) as url:
        yield url


@pytest.fixture
def redis_prefix() -> str:
    """Return what the keys of this test begin with."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """What tests look and change things with."""
    client = Redis.from_url(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[RedisClient]:
    """What the registry of a gateway works with."""
    client = open_redis(valkey_url, timeout=5.0)
    await client.start()
    yield client
    await client.aclose()


@pytest.fixture
def gateway_factory(valkey_url: str, redis_prefix: str, tmp_path: Path) -> Iterator[GatewayFactory]:
    """Start gateways of one cluster, and stop them when the test is over."""
    with ExitStack() as stack:
        started: list[Gateway] = []

        def start(**settings: Value) -> Gateway:
            shared = {"redis_url": valkey_url, "redis_prefix": redis_prefix}
            log = tmp_path / f"gateway-{len(started)}.log"
            started.append(Gateway(log, **{**shared, **settings}))
            return stack.enter_context(started[-1])

        yield start


@pytest.fixture(scope="session")
def shared_gateways(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], Gateway]]:
    """Give the gateways of one cluster by number, each started when first asked for."""
    prefix = f"shared-{secrets.token_hex(4)}"
    logs = tmp_path_factory.mktemp("gateways")
    running: dict[int, Gateway] = {}
    with ExitStack() as stack:

        def gateway(number: int) -> Gateway:
            if number not in running:
                log = logs / f"shared-{number}.log"
                running[number] = stack.enter_context(
                    Gateway(log, redis_url=valkey_url, redis_prefix=prefix)
                )
            return running[number]

        yield gateway


@pytest.fixture(scope="session", params=["same node", "two nodes"])
def hub(request: pytest.FixtureRequest, shared_gateways: Callable[[int], Gateway]) -> Hub:
    """Where two clients connect to: to one gateway, then to two."""
    second = 1 if request.param == "two nodes" else 0
    return Hub(shared_gateways(0).url, shared_gateways(second).url)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a file that holds a key and its certificate."""
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    subprocess.run([*command.split(), "-keyout", pem, "-out", pem], check=True, capture_output=True)
    return pem
