"""`hypha-cluster completion`: a script for each shell, of all that may be written."""

import pytest

from hypha_cluster.commands.app import build
from hypha_cluster.commands.completion import for_app
from hypha_cluster.commands.main import COMMANDS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    for_app(build())(shell)

    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "redis-url" in script
