"""A runner with a Redis user of its own runs apps, and gets to nothing else."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.conformance.python_scene import eventually
from tests.gateways import Gateway
from tests.http import ask
from tests.raw_client import RawClient
from tests.redis_servers import HOST, RedisServer, plain_server
from tests.server_apps import ADDER, Runner, User, app_cluster

pytestmark = pytest.mark.browser

DOCS = Path(__file__).parents[2] / "docs" / "redis.md"


class Place(NamedTuple):
    """A gateway and a runner, each with its user."""

    server: RedisServer
    prefix: str
    gateway: Gateway
    runner: Runner

    def as_runner(self) -> Redis:
        return Redis(host=HOST, port=self.server.port, username="runner", password="other")

    def instance(self, app: dict[str, str]) -> str:
        return f"{self.prefix}:{{:apps}}:instance:ann/{app['id']}"


def rules(prefix: str) -> Iterator[list[str]]:
    """The ACL rules that the documentation recommends, for another prefix."""
    for rule in re.findall(r"^ACL SETUSER (.*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE):
        yield rule.replace("hypha:", f"{prefix}:").split()


@pytest.fixture
def place(tmp_path: Path, redis_prefix: str) -> Iterator[Place]:
    with plain_server(tmp_path / "redis") as server:
        for rule in rules(redis_prefix):
            server.ask("ACL", "SETUSER", *rule)
        url = f"redis://{{}}@{HOST}:{server.port}"
        with app_cluster(tmp_path, url.format("hypha:secret"), redis_prefix) as cluster:
            # Without a secret of its own: so the shared one is in Redis.
            gateway = cluster.gateway()
            runner = cluster.runner(gateway.url, redis_url=url.format("runner:other"))
            yield Place(server, redis_prefix, gateway, runner)


async def test_a_runner_needs_no_secret_and_gets_to_none(place: Place) -> None:
    async with await User.connect(place.gateway.url) as ann:
        app = await ann.launch(f"console.log('here'); {ADDER}")
        assert await ann.ask(app, "add", 2, 3) == 5
        await eventually(lambda: _has_logged(ann, app["id"], ["here"]))
        await ann("stop", app["id"])
        again = await ann("start", app["app_id"])
        assert await ann.ask(again, "add", 2, 3) == 5

        assert [entry["object"] for entry in place.server.ask("ACL LOG")] == []
        with place.as_runner() as runner:
            for command in forbidden(place.prefix):
                with pytest.raises(NoPermissionError):
                    runner.execute_command(*command)
            script = "return redis.call('GET', KEYS[1])"
            sha = runner.script_load(script)
            with pytest.raises(NoPermissionError):
                runner.evalsha(sha, 1, f"{place.prefix}:secret")


async def _has_logged(ann: User, instance: str, lines: list[str]) -> bool:
    """What a page says is written in a moment."""
    return list(await ann("get_log", instance, "log")) == lines


def forbidden(prefix: str) -> Iterator[tuple[str, ...]]:
    for key in ("secret", "first-invitation", "login:k", "sign-in:s", "browser:d", "invitation:d"):
        yield "GET", f"{prefix}:{key}"
    yield "HGETALL", f"{prefix}:{{:accounts}}"
    yield "HGETALL", f"{prefix}:tokens:ann"
    yield "HGETALL", f"{prefix}:app-page:{{:apps}}:ann/app"
    yield "HSET", f"{prefix}:app-page:{{:apps}}:ann/app", "user", "b"
    yield "HSET", f"{prefix}:app-kept:{{:apps}}:ann/adder", "user", "b"
    yield "SET", f"{prefix}:app-ticket:d", "1 ann/adder"
    yield "HGETALL", f"{prefix}:user:ann"
    yield "HGETALL", f"{prefix}:{{ann}}:app:adder"
    yield "HSET", f"{prefix}:{{ann}}:apps", "a", "b"
    yield "HSET", f"{prefix}:{{ann}}/client", "a", "b"
    yield "LRANGE", f"{prefix}:{{ann}}/client:mail", "0", "-1"
    yield "HSET", f"{prefix}:node:n", "a", "b"
    yield "ZADD", f"{prefix}:revoked", "1", "a"
    yield "SPUBLISH", f"{prefix}:events", ""
    yield "SSUBSCRIBE", f"{prefix}:events"
    yield "EVAL", "return 1", "0"
    yield "KEYS", "*"
    yield "SCAN", "0"
    yield ("FLUSHALL",)
    yield "CONFIG", "GET", "*"
    yield "ACL", "WHOAMI"


async def test_a_runner_makes_nobody_up(place: Place) -> None:
    """Who has its user may write the record of an instance, but not whose page it has."""
    async with await User.connect(place.gateway.url) as ann:
        app = await ann.launch(ADDER)
        with place.as_runner() as runner:
            known = runner.hgetall(place.instance(app))
            assert b"user" not in known

            async def come_in(ticket: str, **more: str) -> RawClient:
                digest = hashlib.sha256(ticket.encode()).hexdigest()
                fields = {**known, "state": "starting", "ticket": digest, **more}
                runner.hset(place.instance(app), mapping=fields)
                return await RawClient.connect(
                    place.gateway.url, app["id"], workspace="ann", token=ticket
                )

            forged = json.dumps({"id": "admin", "roles": ["admin"], "scopes": []})
            async with await come_in("hypha-app-a", user=forged) as page:
                assert page.info["user_info"]["roles"] == []  # as whoever started it
            files = f"{place.gateway.url}/apps/{app['app_id']}/~{{}}/index.html"
            own = f"{known[b'files'].decode()}.1.{app['id']}"
            assert (await ask(files.format(own))).status == 200
            await ann("stop", app["id"])
            for function, arguments in (("list_apps", ()), ("uninstall", (app["app_id"],))):
                await ann(function, *arguments)
                with pytest.raises(Exception, match="403"):
                    await come_in(f"hypha-app-{function}")
                assert (await ask(files.format(own))).status == 403
