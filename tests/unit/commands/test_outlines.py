"""What a shell completes of the commands that read their own words."""

import re

import pytest
from cyclopts import App

from hypha_cluster.commands.outlines import add_outlines
from hypha_cluster.commands.users import USAGE
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import all_settings

SETTINGS = all_settings(BUILT_IN)


@pytest.fixture(scope="module")
def app() -> App:
    app = App(name="hypha-cluster")
    add_outlines(app, SETTINGS)
    return app


@pytest.mark.parametrize("command", ["serve", "runner"])
def test_every_setting_is_a_flag(app: App, command: str) -> None:
    known = {name for each in app[command].assemble_argument_collection() for name in each.names}

    assert {flag for about in SETTINGS for flag in about.flags} <= known
    assert {f"--no-{a.flag[2:]}" for a in SETTINGS if isinstance(a.default, bool)} <= known


@pytest.mark.parametrize("action", ["add", "passwd", "list", "remove"])
def test_what_users_of_the_hub_are_managed_with_is_there(app: App, action: str) -> None:
    known = {
        name for each in app["user"][action].assemble_argument_collection() for name in each.names
    }
    usage = next(line for line in USAGE.splitlines() if f" user {action}" in line)
    own = set(re.findall(r"--[a-z-]+", usage))

    assert {"--data-dir", "--redis-url", *own} <= known


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_all_of_them(app: App, shell: str) -> None:
    script = app.generate_completion(shell=shell)  # type: ignore[arg-type]

    for flag in ("--redis-url", "--enable-server-apps", "--startup-functions", "--password-stdin"):
        assert flag.removeprefix("--") in script
    assert "call-only" in script  # one of the choices of a setting
