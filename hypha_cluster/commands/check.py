"""`hypha-cluster check`: the exit codes and the first line are those of monitoring plugins."""

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx2
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import hub_settings
from hypha_cluster.config import Config, masked_url
from hypha_cluster.errors import HubError, StartupError
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import NodeInfo, list_nodes
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.serving.embedded import running_store
from hypha_cluster.serving.preflight import ask_redis, check_redis
from hypha_cluster.settings import CLIENT_VARIABLES

PATIENCE: Final = 5.0  # seconds, for any one answer
CLOCK_WARNING: Final = 1.0  # seconds; tokens and leases go by the clock
CLOCK_CRITICAL: Final = 5.0  # seconds
LAST_DAYS: Final = 14  # of a certificate
DAY: Final = 86_400
COLUMNS: Final = ("STATE", "OF", "WHAT WAS FOUND")
# What a client of the hub asks for, and no hub lets in: so nobody is there who has to leave.
KNOCK: Final = "/ws?client_id=hypha-cluster-check&token=none"


class Level(IntEnum):
    """As monitoring plugins exit."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Finding(NamedTuple):
    """What came of one check."""

    level: Level
    what: str
    text: str


def check(*, server_url: str = "", json: bool = False) -> int:
    """Check a hub and what it needs: Redis, clocks, gateways, the port, TLS, WebSockets.

    The first line sums up what was found. The exit code is that of monitoring plugins: 0 (OK),
    1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN).

    For example:

    ```sh
    hypha-cluster check --redis-url redis://redis.example --server-url https://hub.example
    hypha-cluster check --json
    ```

    Parameters
    ----------
    server_url
        Where users reach the hub, through the balancer; without it, HYPHA_SERVER_URL, else what
        the settings say, else the address of a gateway.
    json
        Print a list of objects, for programs.
    """
    config = hub_settings().node
    named = server_url or os.environ.get(CLIENT_VARIABLES["server_url"], "")
    found = list(_findings(config, named.rstrip("/")))
    worst = max(finding.level for finding in found)
    if json:
        show_json([{**each._asdict(), "level": each.level.name} for each in found])
    else:
        troubles = (
            [each.text for each in found if each.level is worst] if worst else ["all is well"]
        )
        sys.stdout.write(f"HYPHA {worst.name} - {'; '.join(troubles)}\n")
        show_table(COLUMNS, [(each.level.name, each.what, each.text) for each in found], "")
    return worst


def _findings(config: Config, named: str) -> Iterator[Finding]:
    """named: where the hub is, if anybody has said it."""
    store, gateways = _store(config), list[NodeInfo]()
    if store or not named:
        found, gateways = _of_redis(config, store)
        yield from found
    else:
        yield Finding(Level.OK, "redis", "not looked at; name it by --redis-url or --data-dir")
    url = named or _guessed(config, gateways)
    if named or url == config.base_url:
        yield from _of_port(config)
    answers = _hub(url)
    yield answers
    if url.startswith("https:"):
        yield _certificate(url)
    if answers.level is not Level.CRITICAL:
        yield _websocket(url)


def _store(config: Config) -> str:
    """The address of Redis; empty if none is named, and no hub runs on the data directory."""
    try:
        return config.redis_url or running_store(config.data_dir)
    except StartupError:
        return ""


def _guessed(config: Config, gateways: Sequence[NodeInfo]) -> str:
    """Where the hub is, if nobody has said it: as the settings say, or else its gateways."""
    default = Config()
    is_said = config.public_base_url or config.port != default.port or config.host != default.host
    alive = [node.address + config.base_path for node in gateways if node.alive]
    return config.base_url if is_said or not alive else alive[0]


def _of_redis(config: Config, url: str) -> tuple[list[Finding], list[NodeInfo]]:
    """What is found of Redis, and the gateways that it knows."""
    try:
        url = url or running_store(config.data_dir)
        asyncio.run(check_redis(url))
    except StartupError as error:
        return [Finding(Level.CRITICAL, "redis", str(error))], []
    began = time.monotonic()
    (seconds, microseconds), _ = asyncio.run(ask_redis(url, ("TIME",), ("PING",)))
    took = time.monotonic() - began
    found = [
        Finding(Level.OK, "redis", f"{masked_url(url)} answers within {1000 * took:.0f} ms"),
        _clock(abs(int(seconds) + int(microseconds) / 1e6 - time.time())),
    ]
    try:
        nodes = asyncio.run(_nodes(config, url))
    except HubError as error:
        return [*found, Finding(Level.CRITICAL, "gateways", str(error))], []
    return [*found, _gateways(nodes)], nodes


def _clock(apart: float) -> Finding:
    level = Level.OK
    if apart > CLOCK_WARNING:
        level = Level.CRITICAL if apart > CLOCK_CRITICAL else Level.WARNING
    return Finding(
        level, "clock", f"the clocks of this machine and of Redis are {apart:.1f} s apart"
    )


def _gateways(nodes: Sequence[NodeInfo]) -> Finding:
    ready = [node for node in nodes if node.alive and not node.draining]
    lost = [node.name for node in nodes if not node.alive]
    if not ready:
        return Finding(Level.CRITICAL, "gateways", "no gateway is running")
    if lost:
        return Finding(Level.WARNING, "gateways", f"{', '.join(lost)} lost, {len(ready)} ready")
    clients = sum(node.clients for node in nodes)
    return Finding(Level.OK, "gateways", f"{len(ready)} ready, with {clients} clients")


async def _nodes(config: Config, url: str) -> list[NodeInfo]:
    redis = open_redis(url, config.relay_timeout)
    try:
        await redis.start()
        return await list_nodes(redis, Keys(config.redis_prefix))
    finally:
        await redis.aclose()


def _of_port(config: Config) -> Iterator[Finding]:
    address = urlsplit(config.local_url)
    where = f"port {config.port}"
    try:
        with socket.create_connection((address.hostname, config.port), PATIENCE):
            pass
    except OSError:
        yield Finding(Level.OK, "port", f"{where} is free on this machine")
        return
    if _hub(config.local_url).level is Level.CRITICAL:
        yield Finding(Level.WARNING, "port", f"another program listens on {where} of this machine")
    else:
        yield Finding(Level.OK, "port", f"a hub listens on {where} of this machine")


def _hub(url: str) -> Finding:
    try:
        answer = httpx2.get(f"{url}/health/ready", timeout=PATIENCE, verify=False)
        reasons = answer.json()["reasons"] if answer.status_code == 503 else []
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        return Finding(Level.CRITICAL, "hub", f"no hub answers at {url}: {error}")
    if answer.status_code == 503:
        return Finding(Level.WARNING, "hub", f"{url} is not ready: {', '.join(map(str, reasons))}")
    if answer.status_code != 200:
        return Finding(Level.CRITICAL, "hub", f"{url}/health/ready answers {answer.status_code}")
    return Finding(Level.OK, "hub", f"{url} is ready")


def _certificate(url: str) -> Finding:
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 443
    try:
        with (
            socket.create_connection((host, port), PATIENCE) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            until = str((secured.getpeercert() or {})["notAfter"])
    except (OSError, KeyError) as error:  # ssl.SSLError is one
        return Finding(Level.CRITICAL, "tls", f"the certificate of {host} is not good: {error}")
    days = (ssl.cert_time_to_seconds(until) - time.time()) / DAY
    day = datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC).date()
    level = Level.WARNING if days < LAST_DAYS else Level.OK
    return Finding(level, "tls", f"the certificate of {host} is good until {day}")


def _websocket(url: str) -> Finding:
    """Whether what is between us and the hub passes an upgrade on: then the hub refuses it."""
    unchecked = ssl.create_default_context()  # for a certificate has a finding of its own
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    context = unchecked if url.startswith("https:") else None
    address = f"ws{url.removeprefix('http')}{KNOCK}"
    try:
        with connect(address, open_timeout=PATIENCE, ssl=context):
            return Finding(Level.OK, "websocket", "WebSockets pass")
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 403:
            return Finding(Level.OK, "websocket", "WebSockets pass")
        return Finding(Level.CRITICAL, "websocket", f"a WebSocket is answered with {status}")
    except (InvalidHandshake, WebSocketException, OSError, TimeoutError) as error:
        return Finding(Level.CRITICAL, "websocket", f"no WebSocket passes: {error}")
