"""`hypha-cluster completion`."""

import sys
from collections.abc import Callable
from typing import Literal

from cyclopts import App

from hypha_cluster.commands.outlines import add_outlines
from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import all_settings


def for_app(app: App) -> Callable[..., None]:
    """The command that completes this app."""

    def completion(shell: Literal["bash", "zsh", "fish"] = "bash", /) -> None:
        """Print what makes a shell complete these commands and their flags.

        For example:

        ```sh
        hypha-cluster completion bash > ~/.local/share/bash-completion/completions/hypha-cluster
        hypha-cluster completion zsh > ~/.zfunc/_hypha-cluster
        hypha-cluster completion fish > ~/.config/fish/completions/hypha-cluster.fish
        ```

        Parameters
        ----------
        shell
            For which shell.
        """
        add_outlines(app, all_settings(all_features()))
        sys.stdout.write(app.generate_completion(shell=shell) + "\n")

    return completion
