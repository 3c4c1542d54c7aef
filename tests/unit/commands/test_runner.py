"""`hypha-cluster runner`: which cluster it runs apps for, and how many."""

import asyncio
from collections.abc import Callable

import pytest

from hypha_cluster.commands import runner as module
from hypha_cluster.commands.runner import USAGE, run
from hypha_cluster.errors import StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.runner import terms_of

Ran = list[HubSettings]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The settings of runners that were up."""
    found: Ran = []

    def run_runner(
        settings: HubSettings, on_ready: Callable[[], None], stop: asyncio.Event
    ) -> None:
        found.append(settings)
        on_ready()

    monkeypatch.setattr(module, "run_runner", run_runner)
    monkeypatch.setattr(module, "configure_logging", lambda level, form: None)
    return found


def test_it_says_when_it_is_up(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    run(["--redis-url=redis://cluster", "--app-slots=3"])

    (settings,) = ran
    assert settings.node.redis_url == "redis://cluster"
    assert terms_of(settings).app_slots == 3
    assert capsys.readouterr().out == "A runner with 3 slots is up\n"


def test_beside_a_hub_it_takes_the_hubs_store(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "running_store", lambda data_dir: f"unix://{data_dir}/socket")

    run(["--data-dir=/data"])

    assert ran[0].node.redis_url == "unix:///data/socket"


def test_without_a_hub_there_is_nothing_to_run_for(ran: Ran, tmp_path: object) -> None:
    with pytest.raises(StartupError, match="no hub runs on"):
        run([f"--data-dir={tmp_path}"])

    assert ran == []


def test_help_names_what_matters_here(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])

    assert capsys.readouterr().out == USAGE
    assert ran == []
