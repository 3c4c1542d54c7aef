"""docs/apps.md, from a file to a running app: done word for word in a fresh folder."""

import os
import sys
from pathlib import Path

import pytest

from tests.gateways import SECOND
from tests.haproxy import free_port
from tests.walk.walk import Reader, steps

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.browser
PAGE = Path(__file__).parents[2] / "docs" / "apps.md"


def test_a_file_becomes_a_running_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.browser import Missing, install_chromium  # a plugin of pytest's elsewhere

    try:
        install_chromium()
    except Missing as missing:
        pytest.skip(str(missing))
    home = tmp_path / "home"
    home.mkdir()
    port = str(free_port())
    variables = {
        "HOME": str(home),
        "HYPHA_DATA_DIR": str(tmp_path / "data"),
        "HYPHA_SERVER_URL": f"http://127.0.0.1:{port}",
        "HYPHA_IN_DOCKER": "true",  # as the page tells those who are root
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = PAGE.read_text(encoding="utf-8")
    page = text[text.index("## From a file") : text.index("## From a program")]

    reader = Reader(home, port, 60 * SECOND)
    try:
        for step in steps(page):
            reader.follow(step)
    finally:
        reader.stop()

    assert (home / "adder.html").exists()
