"""docs/start.md, done word for word where nothing is installed: by somebody who is new to it."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.gateways import SECOND, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 * SECOND)]

ROOT = Path(__file__).parents[2]
IMAGE = "python:3.11-slim-bookworm"
# What the walk needs and the image may lack; then into a home that is new, and off.
IN_A_CONTAINER = """
command -v curl >/dev/null || { apt-get update -qq && apt-get install -y -qq curl; } >/dev/null
mkdir -p ~/hypha_cluster && cd ~/hypha_cluster && tar x
exec python3 tests/walk/walk.py docs/start.md .
"""
# What this machine tells pip, without what only this machine has.
PIP_SETTINGS = ("index-url", "trusted-host")


def test_the_start_page_holds_what_it_promises(tmp_path: Path) -> None:
    done = _in_a_container(tmp_path) if _has_image() else _in_a_folder(tmp_path)

    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("The page holds what it promises.\n")


def _has_image() -> bool:
    """Whether there is an engine, and the image is at hand or can be had."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "image", "inspect", IMAGE], ["docker", "pull", "--quiet", IMAGE])
    return any(subprocess.run(c, capture_output=True).returncode == 0 for c in commands)


def _in_a_container(folder: Path) -> subprocess.CompletedProcess[str]:
    archive = folder / "repository.tar"
    _run(["tar", "cf", str(archive), *_files()])
    options = ["--env", "HOME=/home/newcomer", *_pip_options()]
    command = ["docker", "run", "--rm", "--init", "--interactive", *options, IMAGE]
    with archive.open("rb") as stdin:
        return subprocess.run(
            [*command, "bash", "-ec", IN_A_CONTAINER],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _pip_options() -> list[str]:
    options = []
    for setting in PIP_SETTINGS:
        value = subprocess.run(
            ["python3", "-m", "pip", "config", "get", f"global.{setting}"],
            capture_output=True,
            text=True,
        ).stdout.strip()
        if value:
            options += ["--env", f"PIP_{setting.upper().replace('-', '_')}={value}"]
    return options


def _in_a_folder(folder: Path) -> subprocess.CompletedProcess[str]:
    """Without an engine: with a home and a copy of the repository that nobody has used yet."""
    home, repository = folder / "home", folder / "repository"
    for name in _files():
        target = repository / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    home.mkdir()
    kept = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
    walk = [repository / "tests/walk/walk.py", repository / "docs/start.md", repository]
    return subprocess.run(
        ["python3", *map(str, walk), "--port", _free_port()],
        env={**_pip_config(), **kept, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _pip_config() -> dict[str, str]:
    """The user's settings for pip, which an empty home would hide."""
    path = Path.home() / ".config" / "pip" / "pip.conf"
    return {"PIP_CONFIG_FILE": str(path)} if path.exists() else {}


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _files() -> list[str]:
    """What is in the repository, and what will be once it is committed."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    return [name for name in _run(listing).splitlines() if (ROOT / name).exists()]


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
