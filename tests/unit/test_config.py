"""The settings of a node as a whole: what is in force, what is refused, what is shown."""

import socket
from typing import Any

import pytest

from hypha_cluster.config import Config, masked_url
from hypha_cluster.errors import StartupError
from hypha_cluster.settings import Setting, amount


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


NUMBERS = {
    about: about.default
    for about in Config.settings()
    if isinstance(about.default, int | float) and not isinstance(about.default, bool)
}


@pytest.mark.parametrize("about", NUMBERS, ids=lambda about: about.name)
def test_every_number_has_bounds_that_are_told(about: Setting) -> None:
    assert about.within, "a number says within what it makes sense"
    least, most = about.within

    assert least <= NUMBERS[about] <= most
    below: dict[str, Any] = {about.name: least - 0.01}
    above: dict[str, Any] = {about.name: most + 1}
    bound = f"at least {amount(least, about.unit)}, but" if least else "not be negative"
    with pytest.raises(StartupError, match=f"^{about.name} must .*{bound}"):
        Config(**below)
    with pytest.raises(StartupError, match=f"^{about.name} must .*at most"):
        Config(**above)


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "bytes", "0 bytes"),
        (1 << 20, "bytes", "1 MiB"),
        (1 << 31, "bytes", "2 GiB"),
        (50_000, "bytes", "50000 bytes"),
        (0.25, "seconds", "0.25 s"),
        (5400.0, "seconds", "90 m"),
        (31_536_000.0, "seconds", "1 year"),
        (63_072_000.0, "seconds", "2 years"),
        (10_000, "", "10000"),
    ],
)
def test_a_number_is_written_as_a_person_would(number: float, unit: str, text: str) -> None:
    assert amount(number, unit) == text


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
        ({"workers": 10_000}, "workers must be at most 256, but is 10000"),
        ({"max_frame_size": 0}, "max_frame_size must be at least 1 MiB, but is 0 bytes"),
        ({"max_message_size": 0}, "must be at least 1 MiB"),
        ({"outbox_size": 0}, "outbox_size must be at least 1 KiB"),
        ({"mailbox_frames": 0}, "mailbox_frames must be at least 1, but is 0"),
        ({"call_timeout": 0.0}, "call_timeout must be at least 0.1 s, but is 0 s"),
        ({"ping_interval": 0.0}, "ping_interval must be at least 0.1 s"),
        ({"token_lifetime": 0.0}, "token_lifetime must be at least 1 m"),
        ({"reconnection_token_lifetime": 60.0}, "at most reconnection_token_lifetime"),
        ({"public_base_url": "hub.example"}, "must look like https://hub.example, not 'hub"),
        ({"public_base_url": "//hub.example/a?b"}, "must look like https://hub.example/a, not"),
        ({"public_base_url": "ftp://hub.example"}, "must look like https://hub.example, not"),
        ({"public_base_url": "https://"}, "must look like https://hub.example, not 'https://'"),
        ({"openid_issuer": "login.example"}, "must look like https://login.example, not"),
        ({"trusted_proxies": "private,hub"}, "must look like 192.0.2.0/24, not 'hub'"),
        ({"auth0_domain": "https://a.auth0.com"}, "must look like hub.auth0.com, not"),
        ({"allow_origins": "https://a, b.example"}, "like https://page.example, not 'b.example'"),
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
        ({}, "http://localhost:9000"),
        ({"host": "10.0.0.1", "port": 80}, "http://10.0.0.1:80"),
        ({"host": "::"}, "http://localhost:9000"),
        ({"host": "fd00::1"}, "http://[fd00::1]:9000"),
        ({"base_path": "/hypha"}, "http://localhost:9000/hypha"),
        ({"certfile": "c", "keyfile": "k"}, "https://localhost:9000"),
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
    assert config.local_url == "http://localhost:9000"


def test_a_node_that_listens_on_one_address_has_that() -> None:
    assert Config(host="::1", port=9000, certfile="x", keyfile="y").node_url == "https://[::1]:9000"


def test_a_program_may_compute_for_long_before_it_is_given_up() -> None:
    """A published client that is closed while it computes spins, and never comes back."""
    config = Config()

    assert config.ping_timeout > 2 * 40
    assert config.ping_interval < config.ping_timeout
