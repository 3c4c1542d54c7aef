"""`login()` of published Python clients, unmodified, while a person logs in with a browser."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.client_environments import environment
from tests.gateways import SECOND
from tests.login_rig import Person, Site, key_of

pytest_plugins = ["tests.login_fixtures"]
pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("login_program.py")


@pytest.mark.parametrize(
    ("release", "way"),
    [
        ("0.5.24", "async"),
        ("0.5.44", "async"),
        ("0.5.59", "async"),
        ("0.5.59", "sync"),
    ],
)
async def test_a_program_logs_in_and_connects(
    site: Site, ann: Person, release: str, way: str
) -> None:
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
    finally:
        program.kill()
        await program.wait()

    assert said == {"id": "bob", "workspace": "bob"}
