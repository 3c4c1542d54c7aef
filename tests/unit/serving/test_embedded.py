"""The embedded store: its data, its crashes, its owner."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from hypha_cluster.config import IN_MEMORY
from hypha_cluster.errors import StartupError
from hypha_cluster.serving.embedded import embedded_store, running_store
from tests.gateways import SECOND

T = TypeVar("T")

OWNER = """
import sys, time
from hypha_cluster.serving.embedded import embedded_store
with embedded_store(sys.argv[1]) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def client(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)


def eventually(attempt: Callable[[], T]) -> T:
    """Return what `attempt` does, once the store answers."""
    deadline = time.monotonic() + 20 * SECOND
    while True:
        try:
            return attempt()
        except RedisConnectionError:
            assert time.monotonic() < deadline, "the store did not come back"
            time.sleep(0.02)


def process_of(redis: Redis) -> int:
    return int(redis.info("server")["process_id"])


def test_data_survive_a_restart(tmp_path: Path) -> None:
    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        redis.set("kept", "yes")

    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        assert redis.get("kept") == "yes"


def test_a_store_that_is_killed_comes_back_with_its_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        redis.set("kept", "yes")
        redis.waitaof(1, 0, 5000)
        first = process_of(redis)

        os.kill(first, signal.SIGKILL)

        assert eventually(lambda: redis.get("kept")) == "yes"
        assert process_of(redis) != first
    assert "ended with status -9; starting it again" in caplog.text


def test_a_store_in_memory_leaves_nothing_behind() -> None:
    with embedded_store(IN_MEMORY) as url, client(url) as redis:
        redis.set("gone", "soon")
        home = Path(unquote(urlsplit(url).path)).parent
        process = process_of(redis)

    assert not home.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_nobody_else_can_reach_the_store(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"

    with embedded_store(str(home)) as url, client(url) as redis:
        assert stat.S_IMODE((home / "valkey.sock").stat().st_mode) == 0o700
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert redis.config_get("port") == {"port": "0"}


def test_a_slow_subscriber_is_given_room(tmp_path: Path) -> None:
    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        limits = redis.config_get("client-output-buffer-limit")["client-output-buffer-limit"]

    assert "pubsub 268435456 67108864 60" in limits


@pytest.mark.parametrize("name", ["with space", "per%20cent", "x" * 120, "ü" * 60])
def test_the_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    with embedded_store(str(tmp_path / name)) as url, client(url) as redis:
        assert redis.ping()

    assert (tmp_path / name / "appendonlydir").is_dir()


@pytest.mark.parametrize("name", ["data", "long" * 30])
def test_the_store_of_a_running_hub_is_found(tmp_path: Path, name: str) -> None:
    home = str(tmp_path / name)

    with embedded_store(home) as url, client(url) as redis:
        redis.set("key", "value")
        with client(running_store(home)) as same:
            found = same.get("key")

    assert found == "value"
    with pytest.raises(StartupError, match="no hub runs on"):
        running_store(home)


def test_a_second_hub_on_the_directory_is_refused(tmp_path: Path) -> None:
    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        with (
            pytest.raises(StartupError, match=f"{tmp_path} is in use by another hub"),
            embedded_store(str(tmp_path)),
        ):
            pass

        assert redis.ping()


def test_a_directory_that_cannot_be_written_is_told() -> None:
    nobodys = "/proc/data"  # where not even root may write

    with pytest.raises(StartupError, match="cannot be used"), embedded_store(nobodys):
        pass


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartupError, match="cannot be used"), embedded_store(f"{tmp_path}/file"):
        pass


def test_data_that_cannot_be_loaded_are_told(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("rubbish")

    with (
        pytest.raises(StartupError, match="the embedded store did not start: .*manifest"),
        embedded_store(str(tmp_path)),
    ):
        pass


def test_the_store_of_a_hub_that_was_killed_is_taken_over_with_its_data(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    with client(owner.stdout.readline().strip()) as redis:
        redis.set("kept", "yes")
    owner.kill()
    owner.communicate()

    with embedded_store(str(tmp_path)) as url, client(url) as redis:
        assert redis.get("kept") == "yes"
