"""Reading flags and environment variables: what is understood, and what a mistake is told."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.settings import items, read_flags, read_time, setting, settings_of


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--port", "0"], "port", 0),
        (["--port=8080"], "port", 8080),
        (["--reconnect-grace", "90"], "reconnect_grace", 90.0),
        (["--reconnect-grace=3m"], "reconnect_grace", 180.0),
        (["--ping-interval", "500ms"], "ping_interval", 0.5),
        (["--max-frame-size=1 MiB"], "max_frame_size", 1 << 20),
        (["--reset-redis"], "reset_redis", True),
        (["--reset-redis=false"], "reset_redis", False),
        (["--no-fast-websockets"], "fast_websockets", False),
        (["--log-format", "json"], "log_format", "json"),
        (["--loglevel", "debug"], "log_level", "debug"),
        (["--log-level", "INFO"], "log_level", "info"),
        (["--event-loop=UVloop"], "event_loop", "uvloop"),
        (["--redis-prefix=INFO"], "redis_prefix", "INFO"),
        (["--allow-origins=*,null,app://x"], "allow_origins", "*,null,app://x"),
        (["--redis-uri=redis://a"], "redis_url", "redis://a"),
    ],
)
def test_a_flag_sets_its_setting(flags: list[str], name: str, value: object) -> None:
    assert getattr(Config.load(flags, {}), name) == value


@dataclass(frozen=True)
class Several:
    """A setting that has several values."""

    doors: str = setting("", "Which there are.", many=True)
    port: int = setting(1, "Where.", within=(1, 9))


@pytest.mark.parametrize(
    "flags",
    [
        ["--doors", "/a:b", "/c:d", "--port=2"],
        ["--doors=/a:b", "--doors=/c:d", "--port=2"],
        ["--port=2", "--doors", "/a:b,/c:d"],
    ],
)
def test_several_values_may_follow_a_flag(flags: list[str]) -> None:
    read = read_flags(settings_of(Several), flags)

    assert read == {"doors": "/a:b,/c:d", "port": 2}
    assert items(str(read["doors"])) == ["/a:b", "/c:d"]


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("HYPHA_PORT", "8080", "port", 8080),
        ("HYPHA_FAST_WEBSOCKETS", "off", "fast_websockets", False),
        ("HYPHA_REDIS_URI", "redis://a", "redis_url", "redis://a"),
        ("JWT_SECRET", "s", "jwt_secret", "s"),
        ("AUTH0_DOMAIN", "issuer.org", "auth0_domain", "issuer.org"),
    ],
)
def test_a_variable_sets_its_setting(variable: str, text: str, name: str, value: object) -> None:
    assert getattr(Config.load([], {variable: text}), name) == value


def test_the_new_name_of_a_variable_wins_over_the_old_one() -> None:
    config = Config.load([], {"JWT_SECRET": "old", "HYPHA_JWT_SECRET": "new"})

    assert config.jwt_secret == "new"


def test_a_value_may_be_in_a_file(tmp_path: Path) -> None:
    url, port, secret = tmp_path / "url", tmp_path / "port", tmp_path / "secret"
    url.write_text("redis://:hush@redis\n")
    port.write_text("8080\n")
    secret.write_text(" s \r\n")
    environ = {
        "HYPHA_REDIS_URI_FILE": str(url),
        "HYPHA_PORT_FILE": str(port),
        "JWT_SECRET_FILE": str(secret),
    }

    config = Config.load([], environ)

    assert (config.redis_url, config.port) == ("redis://:hush@redis", 8080)
    assert config.jwt_secret == " s "
    assert Config.load(["--port=1"], environ).port == 1


def test_a_file_that_holds_no_value_stops_the_start(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff")
    wrong = {empty: "is empty", binary: "is not text", tmp_path / "none": "cannot be read: No such"}

    for path, why in wrong.items():
        with pytest.raises(StartupError) as refused:
            Config.load([], {"HYPHA_JWT_SECRET_FILE": str(path)})

        assert str(refused.value).startswith(f"HYPHA_JWT_SECRET_FILE: {path} {why}")


def test_a_value_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s")
    both = {"HYPHA_JWT_SECRET": "t", "HYPHA_JWT_SECRET_FILE": str(path)}

    with pytest.raises(StartupError, match="are both set: give one of them"):
        Config.load([], both)
    assert Config.load([], {**both, "HYPHA_JWT_SECRET": ""}).jwt_secret == "s"
    assert Config.load([], {**both, "HYPHA_JWT_SECRET_FILE": ""}).jwt_secret == "t"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert Config.load([], {"HYPHA_PORT": ""}).port == 9000


def test_other_peoples_variables_are_left_alone() -> None:
    assert Config.load([], {"PATH": "/bin", "HYPHAE": "mushroom"}) == Config.load([], {})


def test_what_kubernetes_tells_of_a_service_is_no_setting() -> None:
    links = {
        "HYPHA_SERVICE_HOST": "10.0.0.1",
        "HYPHA_SERVICE_PORT": "9000",
        "HYPHA_SERVICE_PORT_HTTP": "9000",
        "HYPHA_PORT": "tcp://10.0.0.1:9000",
        "HYPHA_CLUSTER_PORT": "tcp://10.0.0.1:9000",
        "HYPHA_CLUSTER_PORT_9000_TCP_ADDR": "10.0.0.1",
    }

    assert Config.load([], links).port == 9000


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--redis-ulr=x"], "unknown flag '--redis-ulr'; did you mean --redis-url?"),
        (["--port"], "argument --port: expected one argument"),
        (["--por=1"], "unknown flag '--por'; did you mean --port?"),
        (["--zzz"], "unknown flag '--zzz'; hypha-cluster serve --help lists them all"),
        (["-p", "9000"], "unknown flag '-p'; did you mean --port?"),
        (["-H=0.0.0.0"], "unknown flag '-H'; did you mean --host?"),
        (["-z"], "unknown flag '-z'; hypha-cluster serve --help lists them all"),
        (["stray"], "unexpected argument 'stray'; settings are given as --host=VALUE"),
        (["--port=1.5"], "--port must be a number, not '1.5'"),
        (["--port=nine"], "--port must be a number, not 'nine'"),
        (["--drain-time=5 years"], "followed by one of ms, s, m, h, not '5 years'"),
        (["--reset-redis=maybe"], "--reset-redis must be true or false, not 'maybe'"),
        (["--enable-s3"], "--enable-s3 is not available in hypha_cluster yet"),
        (["--launch-command", "a", "b"], "--launch-command is not available"),
    ],
)
def test_a_mistaken_flag_is_told_in_one_line(flags: list[str], complaint: str) -> None:
    with pytest.raises(StartupError) as refused:
        Config.load(flags, {})

    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("HYPHA_REDIS_PORT", "6379", "unknown variable HYPHA_REDIS_PORT; did you mean HYPHA_"),
        ("HYPHA_RECONECT_GRACE", "1", "did you mean HYPHA_RECONNECT_GRACE?"),
        ("HYPHA_REDIS_ULR_FILE", "/url", "unknown variable HYPHA_REDIS_ULR_FILE; did you mean"),
        ("HYPHA_PORT", "nine", "HYPHA_PORT must be a number, not 'nine'"),
    ],
)
def test_a_mistaken_variable_is_told(variable: str, text: str, complaint: str) -> None:
    with pytest.raises(StartupError) as refused:
        Config.load([], {variable: text})

    assert complaint in str(refused.value)


def test_a_port_for_the_embedded_store_is_not_needed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Config.load(["--redis-port=6383"], {})

    assert "--redis-port changes nothing" in caplog.text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5 h", 5400), ("30d", 30 * 86_400)]
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert read_time(text, "--expires") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1y", "h"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(StartupError, match="--expires must be a time such as 15m, 12h or 30d"):
        read_time(text, "--expires")
