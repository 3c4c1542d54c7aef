"""`hypha-cluster completion`."""

import sys
from collections.abc import Callable
from typing import Final, Literal

from cyclopts import App

from hypha_cluster.commands.outlines import add_outlines
from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import all_settings

# The script defines a function, and somebody has to call it: zsh runs the file each time that it
# completes, or a person has sourced it.
_IN_ZSH: Final = """\
if [[ $funcstack[1] = _hypha-cluster ]]; then
  _cyclopts_hypha-cluster "$@"
else
  compdef _cyclopts_hypha-cluster hypha-cluster
fi
"""


def for_app(app: App) -> Callable[..., None]:
    """The command that completes this app."""

    def completion(shell: Literal["bash", "zsh", "fish"] = "bash", /) -> None:
        """Print what makes a shell complete these commands and their flags.

        bash needs the package bash-completion; zsh needs `fpath+=~/.zfunc` before `compinit` in
        `.zshrc`; fish needs nothing.

        For example:

        ```sh
        hypha-cluster completion bash > ~/.local/share/bash-completion/completions/hypha-cluster
        hypha-cluster completion zsh > ~/.zfunc/_hypha-cluster
        hypha-cluster completion fish > ~/.config/fish/completions/hypha-cluster.fish
        ```

        Parameters
        ----------
        shell
            The shell; without it, bash.
        """
        add_outlines(app, all_settings(all_features()))
        more = _IN_ZSH if shell == "zsh" else ""
        sys.stdout.write(f"{app.generate_completion(shell=shell)}\n{more}")

    return completion
