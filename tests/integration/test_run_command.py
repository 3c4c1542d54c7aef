"""`hypha-cluster run` runs plugin files, and its exit code says what became of them."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client_environments import environment
from tests.gateways import SECOND, Gateway, command, environment as clean_environment
from tests.raw_client import RawClient

PYTHON = environment("imjoy-rpc-0.5.59").make()
EXAMPLE = Path(__file__).parents[1] / "example_plugin.py"
PLUGIN = """
from imjoy_rpc import api

class Plugin:
    async def setup(self):
        with open({diary!r}, "a") as diary:
            diary.write("setup\\n")
        await api.log("set up")

    def add(self, a, b):
        return a + b

api.export(Plugin())
"""
UNLUCKY = """
from imjoy_rpc import api

class Plugin:
    {} setup(self):
        raise KeyError("model")

api.export(Plugin())
"""
HTML = """
<config lang="json">
{{"name": "adder", "type": "native-python", "version": "0.1.0"}}
</config>
<script lang="python">
{script}
</script>
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gateway(valkey_url: str, redis_prefix: str, tmp_path: Path) -> Iterator[Gateway]:
    settings = {"redis_url": valkey_url, "redis_prefix": redis_prefix}
    with Gateway(tmp_path / "gateway.log", **settings) as gateway:
        yield gateway


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


@pytest.fixture
def plugin(tmp_path: Path, diary: Path) -> Path:
    path = tmp_path / "adder.py"
    path.write_text(PLUGIN.format(diary=str(diary)))
    return path


def words_of(plugin: Path | str, url: str, *more: str) -> list[str]:
    words = command("run", server_url=url, functions_python=str(PYTHON))
    return [*words, str(plugin), *more]


def arguments_of(process: int) -> str:
    """What everybody on the machine sees of a process."""
    return Path(f"/proc/{process}/cmdline").read_text()


def run(plugin: Path | str, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words_of(plugin, url, *more),
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        env=clean_environment(),
    )


@pytest.mark.parametrize("form", ["py", "imjoy.html"])
def test_a_plugin_is_set_up_once_and_ends_when_it_is_ready(
    form: str, gateway: Gateway, plugin: Path, diary: Path
) -> None:
    file = plugin.with_suffix(f".{form}")
    if form != "py":
        file.write_text(HTML.format(script=plugin.read_text()))

    ended = run(file, gateway.url, "--quit-on-ready")

    assert ended.returncode == 0, ended.stderr
    assert f"{file} is ready." in ended.stderr
    assert diary.read_text() == "setup\n"


def test_the_published_runner_runs_here_too(gateway: Gateway, plugin: Path, diary: Path) -> None:
    theirs = environment("hypha-0.15.53").make()
    words = [str(theirs), "-m", "hypha.runner", str(plugin), f"--server-url={gateway.url}"]
    ended = subprocess.run(
        [*words, "--quit-on-ready"], capture_output=True, text=True, timeout=60 * SECOND
    )

    assert ended.returncode == 0, ended.stderr
    assert diary.read_text() == "setup\nsetup\n"  # once by the hub, once by this runner itself


def test_what_a_plugin_does_while_it_is_set_up_it_does_by_both_runners(gateway: Gateway) -> None:
    """It calls the hub, registers a service, finds and calls that, and writes to the log."""
    theirs = environment("hypha-0.15.53").make()
    words = [str(theirs), "-m", "hypha.runner", str(EXAMPLE), f"--server-url={gateway.url}"]

    published = subprocess.run(
        [*words, "--quit-on-ready"], capture_output=True, text=True, timeout=60 * SECOND
    )
    own = run(EXAMPLE, gateway.url, "--quit-on-ready")

    for ended in (published, own):
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr


async def test_a_plugin_stays_and_is_called(gateway: Gateway, plugin: Path, tmp_path: Path) -> None:
    async with await RawClient.connect(gateway.url) as client:
        token = tmp_path / "token"
        token.write_text(await client.manager("generate_token"))
        words = words_of(plugin, gateway.url, f"--workspace={client.workspace}")
        words.append(f"--token-file={token}")
        running = await asyncio.create_subprocess_exec(
            *words, stderr=asyncio.subprocess.PIPE, env=clean_environment()
        )
        try:
            assert running.stderr
            async with asyncio.timeout(30 * SECOND):
                while b"is ready" not in await running.stderr.readline():
                    pass
            shown = arguments_of(running.pid)
            services = await client.manager("list_services")
            (info,) = [info for info in services if info["name"] == "adder"]
            service = await client.manager("get_service", info["id"])
            add = service["add"]
            answer = await client.call(add["_rtarget"], add["_rmethod"], 1, 2)
        finally:
            running.kill()
            await running.wait()

    assert answer == 3
    assert token.read_text() not in shown


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.py", None, "missing.py cannot be read"),
        ("plugin.txt", "", "a plugin is a .py or .imjoy.html file"),
        ("silent.py", "pass", "does not call api.export"),
        ("broken.py", "1 / 0", "raised ZeroDivisionError: division by zero"),
        ("unlucky.py", UNLUCKY.format("async def"), "its setup raised KeyError: 'model'"),
        ("unlucky-too.py", UNLUCKY.format("def"), "its setup raised KeyError: 'model'"),
        ("bare.imjoy.html", "<p>", "has no <config>"),
        ("odd.imjoy.html", '<config lang="json">{</config><script lang="python"></script>', "its"),
        ("js.imjoy.html", "<config>{}</config><script>1</script>", 'must have lang="python"'),
    ],
)
def test_a_file_that_is_no_plugin_is_2(
    name: str, content: str | None, reason: str, gateway: Gateway, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    ended = run(tmp_path / name, gateway.url)

    assert ended.returncode == 2
    assert reason in ended.stderr.splitlines()[-1]


def test_what_anybody_on_the_way_may_have_written_is_2(gateway: Gateway) -> None:
    ended = run("http://lab.example/plugin.py", gateway.url)

    assert ended.returncode == 2
    assert "only https" in ended.stderr.splitlines()[-1]


def test_a_hub_that_refuses_is_3(gateway: Gateway, plugin: Path) -> None:
    ended = run(plugin, gateway.url, "--workspace=somebody-elses")

    assert ended.returncode == 3
    assert "the hub refuses the plugin" in ended.stderr.splitlines()[-1]


def test_no_hub_is_3(plugin: Path) -> None:
    ended = run(plugin, "http://127.0.0.1:9")

    assert ended.returncode == 3
    assert "no hub answers at http://127.0.0.1:9" in ended.stderr.splitlines()[-1]
