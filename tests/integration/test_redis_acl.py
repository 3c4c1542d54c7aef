"""Gateways with a Redis user of their own, who may do no more than docs/redis.md says."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.conftest import GatewayFactory
from tests.raw_client import RawClient
from tests.redis_servers import DEBIANS, HOST, VALKEY, WITHOUT_DEBIANS, RedisServer, plain_server

DOCS = Path(__file__).parents[2] / "docs" / "redis.md"
PACKAGE = DOCS.parents[1] / "hypha_cluster"
METHODS = {"delete": "del"}  # of redis-py, when the command has another name
NO_COMMANDS = {"execute", "pipeline", "register_script", "send", "settled"}
BINARIES = [
    pytest.param(VALKEY, id="valkey"),
    pytest.param(
        DEBIANS, marks=pytest.mark.skipif(not DEBIANS, reason=WITHOUT_DEBIANS), id="redis-server"
    ),
]


def rule(prefix: str) -> list[str]:
    """Return the ACL rule that the documentation recommends, for another prefix."""
    found = re.search(r"^ACL SETUSER (.*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1].replace("hypha:*", f"{prefix}:*").split()


def test_the_documented_rule_has_every_command() -> None:
    scripts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.lua")]
    called = {name.lower() for text in scripts for name in re.findall(r"call\('(\w+)'", text)}
    modules = [path.read_text(encoding="utf-8") for path in (PACKAGE / "store").glob("*.py")]
    methods = {name for text in modules for name in re.findall(r"(?:redis|pipe)\.([a-z]+)\(", text)}
    used = {METHODS.get(name, name) for name in methods} | called

    allowed = {word[1:] for word in rule("any") if word.startswith("+")}

    assert used - NO_COMMANDS - allowed == set()


def test_the_rule_of_runners_has_every_command_of_their_scripts() -> None:
    (rule,) = re.findall(r"^ACL SETUSER (runner .*)$", DOCS.read_text("utf-8"), re.MULTILINE)
    scripts = ("take_instances", "change_instance", "log_instance")
    texts = [(PACKAGE / "registry" / f"{name}.lua").read_text("utf-8") for name in scripts]

    called = {name.lower() for text in texts for name in re.findall(r"call\('(\w+)'", text)}

    assert called - {word[1:] for word in rule.split() if word.startswith("+")} == set()


async def use(server: RedisServer, gateway_factory: GatewayFactory) -> None:
    url = f"redis://hypha:secret@{HOST}:{server.port}"
    here, there = gateway_factory(redis_url=url), gateway_factory(redis_url=url)
    async with await RawClient.connect(here.url) as provider:
        await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with await RawClient.connect(there.url) as caller:
            assert await caller.call(provider.address, "services.echo.echo", 42) == 42
            await caller.manager("get_service", f"{provider.address}:echo")
            await caller.manager("list_services")
        token = provider.info["reconnection_token"]
        provider.break_off()
        await provider.closed()
    async with await RawClient.connect(
        there.url, provider.client_id, workspace=provider.workspace, reconnection_token=token
    ) as again:
        assert again.address == provider.address


@pytest.fixture(params=BINARIES)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, redis_prefix: str
) -> Iterator[RedisServer]:
    """Run a server with the user, for longer than the gateways."""
    with plain_server(tmp_path / "redis", binary=request.param) as server:
        server.ask("ACL", "SETUSER", *rule(redis_prefix))
        yield server


@pytest.mark.parametrize("binary", BINARIES)
def test_redis_of_docker_compose_knows_both_users(tmp_path: Path, binary: str) -> None:
    secrets, runners = tmp_path / "secrets", tmp_path / "runners"
    secrets.mkdir()
    runners.mkdir()
    script = PACKAGE.parent / "deploy" / "make-secrets.sh"
    subprocess.run(["sh", script, secrets, runners], check=True)
    conf = tmp_path / "redis.conf"
    conf.write_text(f'include {secrets}/redis.conf\nsave ""\n', encoding="utf-8")
    password = (secrets / "redis_password").read_text("utf-8").strip()
    url = urlsplit((runners / "redis_url").read_text("utf-8").strip())

    with (
        RedisServer(
            tmp_path / "redis", str(conf), "--port", "PORT", binary=binary, password=password
        ) as server,
        Redis(host=HOST, port=server.port, username=url.username, password=url.password) as runner,
    ):
        assert runner.hget("hypha:{:apps}:instance:ann/app", "user") is None
        for command in (("GET", "hypha:secret"), ("ACL", "WHOAMI"), ("HGETALL", "hypha:user:ann")):
            with pytest.raises(NoPermissionError):
                runner.execute_command(*command)
        assert server.ask("PING")


async def test_the_documented_rule_is_enough(
    server: RedisServer,  # before the gateways, so that it is there until they have ended
    gateway_factory: GatewayFactory,
) -> None:
    await use(server, gateway_factory)

    assert [entry["object"] for entry in server.ask("ACL LOG")] == []


def test_the_documented_rule_is_no_more_than_needed(server: RedisServer) -> None:
    forbidden = [
        ("GET", "other:key"),
        ("PUBLISH", "other:channel", ""),
        ("SPUBLISH", "other:channel", ""),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("CLIENT", "LIST"),
    ]
    with Redis(host=HOST, port=server.port, username="hypha", password="secret") as user:
        for command in forbidden:
            with pytest.raises(NoPermissionError):
                user.execute_command(*command)
