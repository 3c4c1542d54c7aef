"""Where a hub is that a command asks, and as whom."""

from pathlib import Path

import httpx2
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


@pytest.mark.parametrize(
    "url",
    ["localhost:9000", "ws://hub", "http://", "http://[", "http://a b", "http://h?x", "ftp://h"],
)
def test_what_is_no_address_of_a_hub_is_told_with_one_that_is(url: str) -> None:
    with pytest.raises(StartupError, match="--server-url: write where the hub is, such as http"):
        server_url_of(url, Config())


@pytest.mark.parametrize("url", ["http://[::1]:9000", "https://h/my/engine", "http://h:1/"])
def test_an_address_may_have_a_path_and_six_colons(url: str) -> None:
    assert server_url_of(url, Config()) == url.rstrip("/")


@pytest.mark.parametrize("content", [b"", b"one two", b"\xff\xfe", "Schl\u00fcssel".encode()])
def test_a_file_without_one_token_is_told_and_not_repeated(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)

    with pytest.raises(
        StartupError, match="--token-file: .*token (is empty|does not hold exactly one token)"
    ) as said:
        Hub("http://127.0.0.1:1", tmp_path / "token")
    assert "one two" not in str(said.value)


def test_another_program_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx2.Response(
        200, text="<h1>Welcome to nginx</h1>", headers={"content-type": "text/html"}
    )
    monkeypatch.setattr(httpx2, "request", lambda *_, **__: answer)

    with pytest.raises(
        CommandFailed, match="what answers at http://h is no hub: it sent text/html"
    ):
        Hub("http://h", None).ask("GET", "public/services")
