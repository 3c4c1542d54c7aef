"""Functions of the operator's run once for all gateways, and go on when what runs them dies."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client_environments import environment
from tests.gateways import POLL, SECOND, Gateway, command, environment as gateway_environment
from tests.raw_client import RawClient, Rejected

PYTHON = str(environment("imjoy-rpc-0.5.59").make())
FUNCTION = """
import os
import subprocess
import sys

async def offer(server):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    async def who(context=None):
        return {
            "process": os.getpid(),
            "child": child.pid,
            "user": context["user"]["id"],
            "token": await server.generate_token(),
            "urls": [server.config.public_base_url, server.config["local_base_url"]],
        }

    await server.register_service({
        "id": "offered",
        "config": {"visibility": "public", "require_context": True},
        "who": who,
    })

async def fail(server):
    raise ValueError("the model\\nis not there")

def no_coroutine(server):
    pass
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "lab.py"
    path.write_text(FUNCTION)
    return path


@pytest.fixture
def gateway(
    valkey_url: str, redis_prefix: str, module: Path, tmp_path: Path
) -> Callable[[str], Gateway]:
    def make(name: str) -> Gateway:
        return Gateway(
            tmp_path / f"{name}.log",
            redis_url=valkey_url,
            redis_prefix=redis_prefix,
            startup_functions=f"{module}:offer",
            functions_python=PYTHON,
            reconnect_grace=60,
        )

    return make


def is_running(process: object) -> bool:
    """Whether there is more of a process than what nobody has asked for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def ask_it(client: RawClient) -> dict[str, object]:
    """What the function answers, once somebody runs it."""
    service = await client.manager("get_service", "offered")
    who = service["who"]
    answer: dict[str, object] = await client.call(who["_rtarget"], who["_rmethod"])
    return answer


async def ask_again(client: RawClient, before: dict[str, object]) -> dict[str, object]:
    """What it answers, once it runs in another process."""
    async with asyncio.timeout(40 * SECOND):
        while True:
            # It may not be there, not be there yet, or die with the question.
            with contextlib.suppress(TypeError, Rejected, TimeoutError):
                async with asyncio.timeout(2 * SECOND):
                    answer = await ask_it(client)
                if answer["process"] != before["process"]:
                    return answer
            await asyncio.sleep(POLL)


async def test_it_is_a_public_service_that_anybody_finds(gateway: Callable[[str], Gateway]) -> None:
    with gateway("first") as first:
        async with await RawClient.connect(first.url) as client:
            service = await client.manager("get_service", "offered")
            answer = await ask_it(client)
            async with await RawClient.connect(
                first.url, token=str(answer["token"]), workspace="public"
            ) as child:
                assert child.workspace == "public"

    assert service["id"].startswith("public/offer-")
    assert answer["user"] == client.user["id"]


async def test_one_gateway_of_two_runs_it_and_the_other_when_that_one_dies(
    gateway: Callable[[str], Gateway],
) -> None:
    with gateway("first") as first, gateway("second") as second:
        async with await RawClient.connect(second.url) as client:
            before = await ask_it(client)
            listed = await client.manager("list_services", "public")
            first.kill()
            after = await ask_again(client, before)

    assert len([info for info in listed if info["id"].endswith(":offered")]) == 1
    assert after["process"] != before["process"]


async def test_it_is_back_under_its_id_when_its_process_dies(
    gateway: Callable[[str], Gateway],
) -> None:
    with gateway("first") as first:
        async with await RawClient.connect(first.url) as client:
            before = await ask_it(client)
            service = await client.manager("get_service", "offered")
            os.kill(int(str(before["process"])), signal.SIGKILL)
            async with asyncio.timeout(15 * SECOND):
                after = await ask_again(client, before)
            again = await client.manager("get_service", "offered")

    assert after["process"] != before["process"]
    assert again["id"] == service["id"]


async def test_calls_wait_until_its_next_process_offers_what_it_did(
    gateway: Callable[[str], Gateway], tmp_path: Path
) -> None:
    with gateway("first") as first:
        async with await RawClient.connect(first.url) as client:
            before = await ask_it(client)
            who = (await client.manager("get_service", "offered"))["who"]
            os.kill(int(str(before["process"])), signal.SIGKILL)
            broken = f"{who['_rtarget']} is suspended."
            while broken not in (tmp_path / "first.log").read_text():  # noqa: ASYNC110  (only it knows)
                await asyncio.sleep(POLL)

            answers = await asyncio.gather(
                *(client.call(who["_rtarget"], who["_rmethod"]) for _ in range(10))
            )
            service = await client.manager("get_service", "offered")

    assert len({answer["process"] for answer in answers}) == 1
    assert answers[0]["process"] != before["process"]
    assert service["who"] == who


async def test_nothing_of_it_is_left_when_the_gateway_ends(
    gateway: Callable[[str], Gateway],
) -> None:
    with gateway("first") as first:
        async with await RawClient.connect(first.url) as client:
            answer = await ask_it(client)
        first.terminate()

    assert [is_running(answer[name]) for name in ("process", "child")] == [False, False]


def has_answered(port: int, process: "subprocess.Popen[str]") -> bool:
    """Whether a port answered anything until a process ended; it may take connections."""
    while process.poll() is None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 1) as asking,
        ):
            asking.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            if asking.recv(1):
                return True
        time.sleep(POLL)
    return False


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("{module}:fail", "{module}:fail raised ValueError: the model is not there"),
        ("{module}:missing", "{module} has no function missing"),
        ("{module}:no_coroutine", "{module}:no_coroutine must be an async function"),
        ("{module}", "{module} must be like module:function"),
        ("{module}x.py:offer", "there is no file {module}x.py"),
        ("no.such.module:offer", "no.such.module cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_run_ends_the_start_before_the_port_answers(
    function: str, reason: str, module: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command(
        "serve",
        host="127.0.0.1",
        port=port,
        data_dir=":memory:",
        startup_functions=function.format(module=module),
        functions_python=PYTHON,
    )
    ending = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=gateway_environment(),
    )
    try:
        answered = has_answered(port, ending)
        told, complained = ending.communicate(timeout=60 * SECOND)
    finally:
        ending.kill()

    assert ending.returncode == 2
    assert told == ""
    assert not answered
    assert " is up." not in complained
    last = complained.splitlines()[-1]
    assert last.startswith(f"hypha-cluster: startup_functions: {reason.format(module=module)}")


def test_a_python_without_the_client_is_told_what_to_install(module: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    words = command(
        "serve",
        host="127.0.0.1",
        port=0,
        data_dir=":memory:",
        startup_functions=f"{module}:offer",
        functions_python=str(tmp_path / "bare" / "bin" / "python"),
    )
    ended = subprocess.run(
        words, capture_output=True, text=True, timeout=60 * SECOND, env=gateway_environment()
    )

    assert ended.returncode == 2
    assert "install hypha-cluster[functions]" in ended.stderr
