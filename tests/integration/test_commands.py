"""The commands of an operator and of a user, against a real hub."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway, environment
from tests.raw_client import RawClient

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Awaitable[Done]]


def run(*words: str, **variables: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "hypha_cluster", *words],
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        check=False,
    )


@pytest.fixture
def hub(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(node_name="east")


@pytest.fixture
def command(hub: Gateway, valkey_url: str, redis_prefix: str) -> Run:
    """Run a command about the hub of this test."""

    port = hub.url.rpartition(":")[2]
    flags = [f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}", f"--port={port}"]

    async def about_hub(*words: str) -> Done:
        return await asyncio.to_thread(run, *words, *flags, HYPHA_SERVER_URL=hub.url)

    return about_hub


@pytest.fixture
async def client(hub: Gateway) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.url, "worker") as client:
        await client.offer("sums", "public", add=lambda *given: sum(given[0].values()))
        yield client


def decoded(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_state_of_a_cluster_is_shown(command: Run, client: RawClient) -> None:
    (gateway,) = decoded(await command("status", "--json"))
    shown = (await command("status")).stdout.splitlines()

    assert (gateway["name"], gateway["clients"], gateway["alive"]) == ("east", 1, True)
    assert shown[0].split() == ["GATEWAY", "ADDRESS", "VERSION", "UP", "CLIENTS", "STATE"]
    assert re.fullmatch(r"east +http\S+ +\S+ +\d+ s +1 +ready", shown[1])


async def test_workspaces_and_clients_are_listed(command: Run, client: RawClient) -> None:
    spaces = {space["name"]: space for space in decoded(await command("workspaces", "--json"))}
    (listed,) = decoded(await command("clients", client.workspace, "--json"))
    shown = (await command("clients")).stdout.splitlines()

    assert spaces[client.workspace]["client_count"] == 1
    assert listed["address"] == client.address
    assert (listed["state"], listed["gateway"], listed["services"]) == ("online", "east", 1)
    assert any(line.startswith(client.address) for line in shown[1:])


async def test_a_client_is_kicked(command: Run, client: RawClient, hub: Gateway) -> None:
    kicked = await command("kick", client.address)
    await client.closed()
    again = await command("kick", client.address)

    assert kicked.stdout == f"{client.address} is gone.\n"
    assert decoded(await command("clients", client.workspace, "--json")) == []
    assert again.returncode == 1
    assert again.stderr == f"hypha-cluster: there is no client {client.address}\n"
    assert f"{client.address} goes: it was told to by an operator." in hub.log()


async def test_nobody_else_is_kicked(command: Run, client: RawClient, hub: Gateway) -> None:
    async with await RawClient.connect(hub.url, "other") as other:
        await command("kick", other.address)

        assert await client.manager("echo", 1) == 1
    async with await RawClient.connect(hub.url, "other") as other:
        assert await other.manager("echo", 1) == 1


async def test_a_token_makes_a_user_with_a_name(command: Run, hub: Gateway, tmp_path: Path) -> None:
    made = await command("token", "--user=ada", "--email", "ada@lab.example", "--expires=30d")
    token = made.stdout.strip()

    async with await RawClient.connect(hub.url, "program", token=token) as client:
        assert client.workspace == "ada"
        assert client.user["email"] == "ada@lab.example"
        await client.offer("hidden", "protected", tell=lambda: "secret")

        path = tmp_path / "token"
        path.write_text(token)
        answer = await command("call", "ada/hidden.tell", "--token-file", str(path))
        refused = await command("call", "ada/hidden.tell")

    assert decoded(answer) == "secret"
    assert refused.returncode == 1
    assert refused.stderr.startswith("hypha-cluster: 403: ")
    assert made.stderr == ""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["token"], 'token: Command "token" parameter --user requires an argument'),
        (["revoke"], "revoke: name one of --user, --workspace and --token-file"),
        (["revoke", "--user=a", "--workspace=b"], "revoke: name one of"),
        (["revoke", "--token-file=/nowhere"], "--token-file: /nowhere cannot be read"),
        (["token", "--user=a/b"], "a user id is not empty and has no '/'"),
        (["token", "--user=a", "--expires=soon"], "--expires must be a time such as 15m"),
        (["call", "hello"], "call: write WORKSPACE/SERVICE.FUNCTION, not 'hello'"),
        (["call", "a/b.c", "d"], "call: write an argument as NAME=VALUE, not 'd'"),
        (["kick", "worker"], "kick: write WORKSPACE/CLIENT, not 'worker'"),
        (["status", "--jsn"], "status: Unknown option: --jsn"),
        (["clients", "--token-file"], "clients: Unknown option"),
    ],
)
def test_a_mistake_is_told_in_one_line(words: list[str], complaint: str) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


async def test_functions_are_called_with_json_or_text(command: Run, client: RawClient) -> None:
    target = f"{client.workspace}/worker:sums.add"

    assert decoded(await command("call", target, "a=1", "b=2.5")) == 3.5
    assert decoded(await command("services", client.workspace, "--json"))[0]["id"].endswith(":sums")
    assert "sums" in (await command("services", client.workspace)).stdout


@pytest.mark.parametrize(
    ("words", "names", "right"),
    [
        (["services", "nowhere"], "Workspace not found: nowhere", "`hypha-cluster workspaces`"),
        (["call", "WS/sums.ad"], "has no 'ad'", "it has 'add'"),
        (["call", "WS/sms.add"], "Service not found: WS/sms", "`hypha-cluster services WORKSPACE`"),
        (["call", "WS/worker:hidden.x"], "403", "--token-file or HYPHA_TOKEN"),
        (["services", "--token-file=TOKEN"], "Invalid token", "--token-file or HYPHA_TOKEN"),
        (["services", "--server-url=HUB/elsewhere"], "Not Found", "--server-url"),
        (["apps", "start", "a/b"], "runs no server apps", "--enable-server-apps"),
        (["kick", "WS/nobody"], "there is no client WS/nobody", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_newcomers_mistake_is_named_with_what_would_be_right(
    command: Run,
    client: RawClient,
    hub: Gateway,
    tmp_path: Path,
    words: list[str],
    names: str,
    right: str,
) -> None:
    if "WS/worker:hidden.x" in words:
        await client.offer("hidden", "protected", x=lambda: 1)
    (tmp_path / "bad").write_text("nonsense")
    put = {"WS": client.workspace, "TOKEN": str(tmp_path / "bad"), "HUB": hub.url}

    def filled(text: str) -> str:
        for name, value in put.items():
            text = re.sub(rf"\b{name}\b", value, text)
        return text

    done = await command(*map(filled, words))

    assert done.returncode == 1
    assert filled(names) in done.stderr
    assert right in done.stderr
    assert done.stderr.count("\n") == 1


async def test_what_json_cannot_carry_is_described(command: Run, client: RawClient) -> None:
    array = {"_rtype": "ndarray", "_rvalue": bytes(8), "_rshape": [2], "_rdtype": "float32"}
    await client.offer("arrays", "public", make=lambda kwargs: array)

    made = decoded(await command("call", f"{client.workspace}/worker:arrays.make", "n=1"))

    assert made == {**array, "_rvalue": {"type": "bytes", "size": 8}}


def test_a_hub_that_does_not_answer_is_told() -> None:
    done = run("services", "--server-url=http://127.0.0.1:1")

    assert done.returncode == 1
    assert done.stderr.startswith("hypha-cluster: no hub answers at http://127.0.0.1:1: ")


async def test_a_healthy_hub_passes_the_check(command: Run, hub: Gateway) -> None:
    done = await command("check")
    found = {each["what"]: each["level"] for each in decoded(await command("check", "--json"))}

    assert done.returncode == 0
    assert done.stdout.startswith("HYPHA OK - all is well\n")
    assert {"redis", "clock", "gateways", "port", "hub", "websocket"} == found.keys()
    assert set(found.values()) == {"OK"}


def test_what_is_wrong_is_in_the_first_line_of_the_check(valkey_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = run("check", f"--redis-url={valkey_url}", "--redis-prefix=nobody", f"--port={port}")
    lost = run("check", "--redis-url=redis://127.0.0.1:1", "--port=1")

    assert done.returncode == 2
    assert done.stdout.startswith("HYPHA CRITICAL - no gateway is running; no hub answers at ")
    line = rf"^WARNING +port +another program listens on port {port} of this machine"
    assert re.search(line, done.stdout, re.M)
    assert lost.returncode == 2
    assert lost.stdout.startswith("HYPHA CRITICAL - no Redis at redis://127.0.0.1:1")


def test_a_hub_is_found_by_what_was_said_of_it(tmp_path: Path) -> None:
    """By its data directory alone, or by its address alone."""
    with Gateway(tmp_path / "log", data_dir=str(tmp_path / "data")) as hub:
        by_directory = run("check", f"--data-dir={tmp_path / 'data'}")
        by_address = run("check", f"--data-dir={tmp_path / 'none'}", f"--server-url={hub.url}")

    for done in (by_directory, by_address):
        assert done.stdout.startswith("HYPHA OK - all is well\n"), done.stdout
    assert f"{hub.url} is ready" in by_directory.stdout
    assert " port " not in by_directory.stdout
    assert "not looked at; name it by --redis-url or --data-dir" in by_address.stdout


async def test_top_shows_what_gateways_do(command: Run, client: RawClient) -> None:
    async with asyncio.timeout(60 * SECOND):
        while "memory_bytes" not in (
            gateway := decoded(await command("top", "--once", "--json"))[0]
        ):
            """It measures itself every two seconds."""

    assert (gateway["gateway"], gateway["clients"]) == ("east", 1)
    assert gateway["memory_bytes"] > 0
    assert gateway["redis_operations_per_second"] >= 0


def test_programs_get_the_settings_without_secrets() -> None:
    settings = decoded(run("config", "--json", "--port=1", JWT_SECRET="hush"))

    assert settings["port"] == 1
    assert settings["jwt_secret"] == "***"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(shell: str) -> None:
    done = run("completion", shell)

    assert done.returncode == 0
    assert "hypha-cluster" in done.stdout
    assert "workspaces" in done.stdout


async def test_help_has_examples(command: Run) -> None:
    for name in ("status", "call", "token", "check"):
        assert f"hypha-cluster {name} " in (await command(name, "--help")).stdout


def test_variables_of_users_programs_do_not_stop_a_hub() -> None:
    done = run("config", HYPHA_TOKEN="t", HYPHA_SERVER_URL="https://hub.example")

    assert done.returncode == 0
