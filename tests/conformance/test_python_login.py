"""`login()` of published Python clients, unmodified, while a person logs in with a browser."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.client_environments import environment
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.login_rig import Person, Site, key_of
from tests.token_rig import SECRET

pytest_plugins = ["tests.login_fixtures"]
pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("login_program.py")


@pytest.mark.parametrize(
    ("release", "way"),
    [
        # One of each kind: the 44 releases from 0.5.22 on have three `login`, and one in `sync`.
        ("0.5.22", "async"),
        ("0.5.24", "async"),
        ("0.5.32", "login_sync"),
        ("0.5.44", "async"),
        ("0.5.59", "async"),
        ("0.5.59", "sync"),
    ],
)
async def test_a_program_logs_in_and_connects(
    site: Site, ann: Person, release: str, way: str
) -> None:
    assert await logged_in(site, ann, release, way) == {"id": "bob", "workspace": "bob"}


@pytest.mark.parametrize("release", ["0.5.24", "0.5.59"])
async def test_a_program_logs_in_where_guests_may_do_nothing_else(
    site: Site, ann: Person, release: str, gateway_factory: GatewayFactory
) -> None:
    closed = gateway_factory(jwt_secret=SECRET, anonymous="off")

    said = await logged_in(site._replace(first=closed.url), ann, release, "async")

    assert said == {"id": "bob", "workspace": "bob"}


async def logged_in(site: Site, ann: Person, release: str, way: str) -> Any:
    python = await asyncio.to_thread(environment(f"imjoy-rpc-{release}").make)
    program = await asyncio.create_subprocess_exec(
        python, PROGRAM, site.first, way, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout
    try:
        async with asyncio.timeout(60 * SECOND):
            told = json.loads(await program.stdout.readline())
            consent = await ann.log_in(site.second, "bob", key=key_of(told["login_url"]))
            await ann.answer(site.second, consent)
            said = json.loads(await program.stdout.readline())
            assert said.pop("token").startswith("bob@imjoy@")
            return said
    finally:
        program.kill()
        await program.wait()
