"""Programs that start the original by its name start this hub."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client_environments import environment
from tests.gateways import SECOND, environment as clean_environment
from tests.raw_client import RawClient
from tests.redis_servers import eventually

ROOT = Path(__file__).parents[2]
PYTHON = environment("imjoy-rpc-0.5.59").make()
FUNCTION = """
from hypha.utils import launch_external_services

async def offer(server):
    process = await launch_external_services(
        server,
        {command!r},
        check_services=["external"],
        timeout=60,
    )
    assert process.running
"""
FAILING = """
from hypha.utils import launch_external_services

async def offer(server):
    await launch_external_services(server, "false", check_services=["external"], timeout=60)
"""
EXTERNAL = """
import asyncio
import sys

from imjoy_rpc.hypha import connect_to_server

async def main():
    server_url, workspace, token = sys.argv[1:]
    server = await connect_to_server(
        {"server_url": server_url, "workspace": workspace, "token": token}
    )
    await server.register_service(
        {"id": "external", "config": {"visibility": "public"}, "greet": lambda name: f"Hi {name}"}
    )
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start(log: Path, *words: str) -> "subprocess.Popen[bytes]":
    environ = {**clean_environment(), "PYTHONPATH": f"{ROOT / 'compat'}:{ROOT}"}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "hypha.server", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environ, "HYPHA_FUNCTIONS_PYTHON": str(PYTHON)},
        )


async def test_an_external_service_is_launched_by_a_startup_function(tmp_path: Path) -> None:
    log, function, external = (tmp_path / name for name in ("log", "lab.py", "external.py"))
    external.write_text(EXTERNAL)
    command = f"{PYTHON} {external} {{server_url}} {{workspace}} {{token}}"
    function.write_text(FUNCTION.format(command=command))
    hub = start(log, "--port=0", "--startup-functions", f"{function}:offer")
    try:
        url = eventually(
            lambda: re.search(r"^Listening on (\S+)", log.read_text(), re.MULTILINE),
            "it listens",
        )[1]
        async with await RawClient.connect(url) as client:
            service = await client.manager("get_service", "external")
            greet = service["greet"]
            answer = await client.call(greet["_rtarget"], greet["_rmethod"], "Ann")
    finally:
        hub.terminate()
        hub.wait(60 * SECOND)

    assert answer == "Hi Ann"
    assert url.startswith("http://127.0.0.1:")
    assert "Store: embedded, in memory" in log.read_text()


def test_an_external_service_that_ends_ends_the_start(tmp_path: Path) -> None:
    function = tmp_path / "lab.py"
    function.write_text(FAILING)

    hub = start(tmp_path / "log", "--port=0", "--startup-functions", f"{function}:offer")

    assert hub.wait(60 * SECOND) == 2
    assert "(false) failed to start: it ended with 1" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("program", ["server", "runner"])
def test_the_programs_say_what_they_take(program: str) -> None:
    environ = {**clean_environment(), "PYTHONPATH": f"{ROOT / 'compat'}:{ROOT}"}
    words = [sys.executable, "-m", f"hypha.{program}", "--help"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, env=environ)

    assert "--server-url" in told.stdout if program == "runner" else "--port" in told.stdout
