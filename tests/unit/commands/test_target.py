"""Where a hub is that a command asks, and as whom."""

from pathlib import Path

import pytest

from hypha_cluster.commands.target import Hub, server_url_of
from hypha_cluster.config import Config
from hypha_cluster.errors import CommandFailed, StartupError


def test_the_flag_says_where_then_the_environment_then_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HYPHA_SERVER_URL", raising=False)
    assert server_url_of("", Config(port=1)) == "http://localhost:1"

    monkeypatch.setenv("HYPHA_SERVER_URL", "https://hub.example/")
    assert server_url_of("", Config()) == "https://hub.example"
    assert server_url_of("https://other.example", Config()) == "https://other.example"


def test_a_token_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="--token-file: .*none cannot be read"):
        Hub("http://127.0.0.1:1", tmp_path / "none")


def test_a_hub_that_is_not_there_is_told() -> None:
    with pytest.raises(CommandFailed, match="no hub answers at http://127.0.0.1:1"):
        Hub("http://127.0.0.1:1", None).ask("GET", "public/services")
