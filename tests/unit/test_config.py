"""The settings of a node as a whole: what is in force, what is refused, what is shown."""

import socket
from typing import Any

import pytest

from hypha_cluster.config import Config, masked_url
from hypha_cluster.errors import StartupError


def test_the_defaults_can_be_used_as_they_are() -> None:
    config = Config()

    assert (config.host, config.port, config.redis_url) == ("0.0.0.0", 9000, "")
    assert config.max_frame_size == 16 * 1024 * 1024
    assert config.reconnect_grace == 180.0


def test_every_setting_says_what_it_is() -> None:
    for about in Config.settings():
        assert about.help.endswith("."), about.name
        assert about.flag == "--" + about.name.replace("_", "-")
        assert about.env == "HYPHA_" + about.name.upper()
        assert isinstance(about.default, str | int | float | bool)


def test_times_are_in_seconds_and_sizes_in_bytes() -> None:
    for about in Config.settings():
        if isinstance(about.default, float):
            assert about.unit == "seconds", about.name
        if about.name.endswith("_size"):
            assert about.unit == "bytes", about.name


def test_flags_win_over_the_environment() -> None:
    config = Config.load(["--port=1"], {"HYPHA_PORT": "2", "HYPHA_HOST": "::1"})

    assert (config.port, config.host) == (1, "::1")


def test_data_is_kept_in_the_users_state_directory() -> None:
    assert Config.load([], {}).data_dir == "~/.local/state/hypha-cluster"
    assert Config.load([], {"XDG_STATE_HOME": "/state"}).data_dir == "/state/hypha-cluster"
    assert Config.load(["--data-dir=/x"], {"XDG_STATE_HOME": "/state"}).data_dir == "/x"


def test_secrets_are_not_shown() -> None:
    config = Config(jwt_secret="hush", redis_url="redis://me:hush@redis:6379/0")

    assert "hush" not in repr(config)
    assert "hush" not in str(config.shown())
    assert "redis://***@redis:6379/0" in repr(config)


def test_a_secret_that_is_not_set_is_shown_as_empty() -> None:
    shown = {about.name: value for about, value in Config().shown()}

    assert shown["jwt_secret"] == ""


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://redis:6379", "redis://redis:6379"),
        ("redis://:a/b@c@redis:6379", "redis://***@redis:6379"),
        ("unix:///s?db=1&password=hush&x=2", "unix:///s?db=1&password=***&x=2"),
        ("redis+sentinel://u:p@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, masked: str) -> None:
    assert masked_url(url) == masked


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "rediss://user:password@redis:6380/2",
        "unix:///run/redis.sock",
        "redis+sentinel://a:26379,b:26379/main",
        "rediss+sentinel://a/main/1",
        "redis+cluster://a:7000,b:7001",
        "rediss+cluster://:password@a",
    ],
)
def test_a_redis_may_be_anywhere(url: str) -> None:
    assert Config(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"redis_url": "http://redis"}, "not understood"),
        ({"redis_url": "/tmp/redis.db"}, "not understood"),
        ({"redis_url": "redis:6379"}, "not understood"),
        ({"redis_url": "redis://"}, "names no host"),
        ({"redis_url": "unix://"}, "names no socket"),
        ({"redis_url": "redis+sentinel://a:26379"}, "names no service"),
        ({"port": 65536}, "at most 65535"),
        ({"port": -1}, "must not be negative"),
        ({"drain_time": -0.5}, "must not be negative"),
        ({"workers": 0}, "at least 1"),
        ({"log_format": "xml"}, "one of text, json"),
        ({"certfile": "a.pem"}, "give both or neither"),
        ({"lease_interval": 5.0}, "less than lease_ttl"),
        ({"base_path": "hypha"}, "must look like /hypha"),
        ({"node_name": "a/b"}, "node_name"),
        ({"redis_prefix": "a{b}"}, "redis_prefix"),
        ({"redis_prefix": ""}, "redis_prefix"),
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(StartupError, match=why):
        Config(**wrong)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(StartupError) as refused:
        Config(redis_url="amqp://me:hush@redis")

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:9000"),
        ({"host": "10.0.0.1", "port": 80}, "http://10.0.0.1:80"),
        ({"host": "::"}, "http://[::1]:9000"),
        ({"host": "fd00::1"}, "http://[fd00::1]:9000"),
        ({"base_path": "/hypha"}, "http://127.0.0.1:9000/hypha"),
        ({"certfile": "c", "keyfile": "k"}, "https://127.0.0.1:9000"),
        ({"public_base_url": "https://hub.org", "port": 1}, "https://hub.org"),
    ],
)
def test_users_reach_the_hub_where_it_listens_unless_told(
    settings: dict[str, Any], url: str
) -> None:
    assert Config(**settings).base_url == url


@pytest.mark.parametrize("path", ["/", "/hypha/", "/hypha"])
def test_the_base_path_loses_its_last_slash(path: str) -> None:
    assert Config.load(["--base-path", path], {}).base_path == path.rstrip("/")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_a_node_that_listens_on_all_addresses_has_the_name_of_its_machine(host: str) -> None:
    config = Config(host=host, port=9000)

    assert config.node_url == f"http://{socket.gethostname()}:9000"
    assert config.local_url == ("http://[::1]:9000" if host == "::" else "http://127.0.0.1:9000")


def test_a_node_that_listens_on_one_address_has_that() -> None:
    assert Config(host="::1", port=9000, certfile="x", keyfile="y").node_url == "https://[::1]:9000"
