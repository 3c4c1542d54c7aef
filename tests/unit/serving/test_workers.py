"""Several processes under one parent, with small scripts in the place of gateways."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving import workers
from hypha_cluster.serving.gateway import Port
from hypha_cluster.serving.workers import Workers
from tests.gateways import SECOND

# Each notes what it was told and who it is, before it does what it is to do.
SCRIPT = """
import json, os, signal, sys, time
settings = json.loads(sys.stdin.readline())["settings"]["node"]
with open(os.environ["DIARY"], "a") as diary:
    diary.write(f"{settings['node_name']} {os.getpid()} {settings['reset_redis']}\\n")
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
"""
SERVES = SCRIPT + """print('"ready"', flush=True); sys.stdin.readline()"""
CANNOT_START = SCRIPT + """print('"no room"'); sys.exit(2)"""
SAYS_NOTHING = SCRIPT + "sys.exit(3)"
BABBLES = SCRIPT + """print('who?', flush=True); time.sleep(60)"""
SLOW = SCRIPT + "time.sleep(60)"


class Started(NamedTuple):
    name: str
    process: int
    resets: bool


class Rig:
    """Runs workers that are scripts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, diary: Path, listener: socket.socket):
        self._monkeypatch = monkeypatch
        self._diary = diary
        self._listener = listener
        self.announced = asyncio.Event()
        monkeypatch.setenv("DIARY", str(diary))

    def run(self, script: str, count: int = 2) -> "asyncio.Task[None]":
        self._monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-ISc", script))
        config = Config(workers=count, node_name="east", jwt_secret="hush", reset_redis=True)
        parent = Workers(HubSettings(config, ()), Port(self._listener.fileno()), self.announced.set)
        return asyncio.create_task(parent.run())

    def started(self) -> list[Started]:
        text = self._diary.read_text() if self._diary.exists() else ""
        lines = [line.split() for line in text.splitlines()]
        return [Started(name, int(pid), resets == "True") for name, pid, resets in lines]

    async def until_started(self, count: int) -> list[Started]:
        async with asyncio.timeout(20 * SECOND):
            while len(self.started()) < count:  # noqa: ASYNC110  (only the file knows)
                await asyncio.sleep(0.01)
        return self.started()

    def kill(self) -> None:
        for started in self.started():
            with contextlib.suppress(ProcessLookupError):
                os.kill(started.process, signal.SIGKILL)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rig = Rig(monkeypatch, tmp_path / "diary", listener)
        yield rig
        rig.kill()


def tell_us(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def known_of(process: int) -> str:
    """What anybody on the machine can see of a process, and what only its user can."""
    return "".join(Path(f"/proc/{process}/{name}").read_text() for name in ("cmdline", "environ"))


async def test_all_are_started_and_stopped(rig: Rig) -> None:
    running = rig.run(SERVES, count=3)
    started = await rig.until_started(3)
    await rig.announced.wait()

    tell_us(signal.SIGTERM)
    await running

    assert sorted(each.name for each in started) == ["east-0", "east-1", "east-2"]
    for each in started:
        with pytest.raises(ProcessLookupError):
            os.kill(each.process, 0)


@pytest.mark.parametrize(
    ("script", "reason"), [(CANNOT_START, "no room"), (SAYS_NOTHING, "it gave no reason")]
)
async def test_what_keeps_the_first_from_starting_is_said_once(
    rig: Rig, script: str, reason: str
) -> None:
    with pytest.raises(StartupError, match=reason):
        await rig.run(script)

    assert [each.name for each in rig.started()] == ["east-0"]
    assert not rig.announced.is_set()


async def test_a_signal_while_the_first_starts_ends_it(rig: Rig) -> None:
    running = rig.run(SLOW)
    await rig.until_started(1)

    tell_us(signal.SIGTERM)
    await running

    assert len(rig.started()) == 1
    assert not rig.announced.is_set()


async def test_who_dies_is_replaced_under_the_same_name(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RESTART_PAUSE", 0.01)
    running = rig.run(SERVES)
    victim = (await rig.until_started(2))[1]

    os.kill(victim.process, signal.SIGKILL)
    started = await rig.until_started(3)
    tell_us(signal.SIGTERM)
    await running

    assert started[2].name == victim.name
    assert f"Gateway {victim.name} ended (-9)" in caplog.text


async def test_a_system_without_room_for_a_process_is_asked_again(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RESTART_PAUSE", 0.01)
    running = rig.run(SERVES)
    victim, other = await rig.until_started(2)
    await rig.announced.wait()
    sound, refusals = workers._spawn, [OSError("no room"), OSError("no room")]

    def spawn(port: Port) -> "subprocess.Popen[bytes]":
        if refusals:
            raise refusals.pop()
        return sound(port)

    monkeypatch.setattr(workers, "_spawn", spawn)
    os.kill(victim.process, signal.SIGKILL)
    started = await rig.until_started(3)

    assert started[2].name == victim.name
    assert old_alive([other]) == [other]
    assert "no room" in caplog.text
    tell_us(signal.SIGTERM)
    await running


async def test_if_no_process_can_be_made_for_a_new_one_the_old_ones_go_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = rig.run(SERVES)
    old = await rig.until_started(2)
    await rig.announced.wait()
    sound = workers._spawn

    def refuse(port: Port) -> "subprocess.Popen[bytes]":
        raise OSError("no room")

    monkeypatch.setattr(workers, "_spawn", refuse)
    tell_us(signal.SIGHUP)
    await until_logged(caplog, "no room")
    assert old_alive(old) == old

    monkeypatch.setattr(workers, "_spawn", sound)
    tell_us(signal.SIGHUP)  # it is obeyed as before
    await rig.until_started(4)
    tell_us(signal.SIGTERM)
    await running


async def test_a_worker_that_says_what_nobody_understands_is_replaced(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = rig.run(SERVES)
    await rig.until_started(2)
    await rig.announced.wait()
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-ISc", BABBLES))
    monkeypatch.setattr(workers, "RESTART_PAUSE", 0.01)

    os.kill(rig.started()[0].process, signal.SIGKILL)
    babbling = (await rig.until_started(3))[2]
    await rig.until_started(4)

    assert not old_alive([babbling])
    tell_us(signal.SIGTERM)
    await running


async def test_only_the_first_deletes_what_redis_has(rig: Rig) -> None:
    running = rig.run(SERVES)
    started = await rig.until_started(2)
    tell_us(signal.SIGTERM)
    await running

    assert [each.resets for each in started] == [True, False]


async def test_sighup_puts_new_ones_in_the_places_of_the_old(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    running = rig.run(SERVES)
    old = await rig.until_started(2)
    await rig.announced.wait()

    tell_us(signal.SIGHUP)
    await until_logged(caplog, "All gateways have been replaced.")
    new = rig.started()[2:]
    tell_us(signal.SIGTERM)
    await running

    assert [each.name for each in new] == ["east-2", "east-3"]
    assert not any(each.resets for each in new)
    assert "ended" not in caplog.text
    assert not old_alive(old)


async def test_if_a_new_one_cannot_start_the_old_ones_go_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = rig.run(SERVES)
    old = await rig.until_started(2)
    await rig.announced.wait()

    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-ISc", CANNOT_START))
    tell_us(signal.SIGHUP)
    await until_logged(caplog, "a new one cannot start: no room")

    assert old_alive(old) == old
    assert len(rig.started()) == 3
    tell_us(signal.SIGTERM)
    await running


async def test_a_signal_while_they_are_replaced_stops_them_all(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = rig.run(SERVES)
    await rig.until_started(2)
    await rig.announced.wait()
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-ISc", SLOW))
    tell_us(signal.SIGHUP)
    await rig.until_started(3)

    tell_us(signal.SIGTERM)
    await running

    assert not old_alive(rig.started())


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(20 * SECOND):
        while text not in caplog.text:  # noqa: ASYNC110  (a log cannot be awaited)
            await asyncio.sleep(0.01)


def old_alive(workers: list[Started]) -> list[Started]:
    return [each for each in workers if Path(f"/proc/{each.process}").exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_no_argument_and_no_variable_holds_a_secret(rig: Rig) -> None:
    running = rig.run(SERVES)
    started = await rig.until_started(2)

    assert not any("hush" in known_of(each.process) for each in started)

    tell_us(signal.SIGTERM)
    await running
