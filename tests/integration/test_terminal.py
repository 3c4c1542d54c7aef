"""Commands at a terminal: what shells complete, and what is shown live."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import Gateway, environment
from tests.raw_client import RawClient
from tests.terminal import INTERRUPT, TAB, Terminal

BIN = Path(sys.executable).parent
PROMPT = "ready> "
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")


class Shell(NamedTuple):
    """A shell as a person has set it up, in a home of its own.

    script: where `hypha-cluster completion --help` puts what completes. rc: what the person has to
    have in their own settings besides. words: how it is started.
    """

    script: str
    rc: tuple[str, str]
    words: tuple[str, ...]


class Home(NamedTuple):
    """A person's folder, and how their shell is started in it."""

    shell: Shell
    folder: Path
    variables: dict[str, str]


SHELLS = {
    "bash": Shell(
        ".local/share/bash-completion/completions/hypha-cluster",
        (".bashrc", f". {BASH_COMPLETION}\nPS1='ready> '\n"),
        ("bash", "--noprofile", "-i"),
    ),
    "zsh": Shell(
        ".zfunc/_hypha-cluster",
        (".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit && compinit -u\nPS1='ready> '\n"),
        ("zsh", "-d", "-i"),
    ),
    "fish": Shell(
        ".config/fish/completions/hypha-cluster.fish",
        (".config/fish/config.fish", "function fish_prompt; echo 'ready> '; end\n"),
        ("fish", "-i"),
    ),
}


@pytest.fixture(scope="module", params=SHELLS)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Where the shell finds the script that the command itself has printed."""
    name, about = request.param, SHELLS[request.param]
    if not shutil.which(name) or (name == "bash" and not BASH_COMPLETION.exists()):
        pytest.skip(f"{name} is not here; `apt-get install zsh fish bash-completion` brings all")
    folder = tmp_path_factory.mktemp(name)
    rc, text = about.rc
    for file in (about.script, rc):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / rc).write_text(text, encoding="utf-8")
    path = f"{BIN}:{os.environ['PATH']}"
    variables = {**environment(), "HOME": str(folder), "PATH": path, "LANG": "C.UTF-8"}
    with (folder / about.script).open("wb") as script:
        command = [sys.executable, "-m", "hypha_cluster", "completion", name]
        subprocess.run(command, env=variables, stdout=script, check=True)
    return Home(about, folder, variables)


@pytest.mark.parametrize(
    ("begun", "completed"),
    [
        ("se", "services"),
        ("work", "workspaces"),
        ("status --wat", "--watch"),
        ("serve --redis-pre", "--redis-prefix"),
        ("apps rem", "remove"),
    ],
)
def test_a_shell_completes_commands_and_flags(home: Home, begun: str, completed: str) -> None:
    with Terminal(list(home.shell.words), home.folder, home.variables) as terminal:
        terminal.until(PROMPT)

        terminal.type(f"hypha-cluster {begun}{3 * TAB}")

        terminal.until(completed)


@pytest.fixture
def hub(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(node_name="east")


@pytest.fixture
def watching(
    hub: Gateway, valkey_url: str, redis_prefix: str, tmp_path: Path
) -> Callable[..., Terminal]:
    """A person who has a command about the hub before them."""

    def watching(*words: str) -> Terminal:
        flags = [f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}"]
        command = [sys.executable, "-m", "hypha_cluster", *words, *flags]
        return Terminal(command, tmp_path, environment())

    return watching


@pytest.mark.parametrize("words", [("status", "--watch"), ("top",)], ids=" ".join)
async def test_what_goes_on_is_shown_live_until_ctrl_c(
    hub: Gateway, watching: Callable[..., Terminal], words: tuple[str, ...]
) -> None:
    with watching(*words, "--every=0.2") as terminal:
        terminal.until(r"east\s[\s\S]*Ctrl-C ends it")
        async with await RawClient.connect(hub.url, "worker"):
            terminal.until(r"east\s.* 1 ")
        terminal.type(INTERRUPT)

        assert terminal.ended() == 0
