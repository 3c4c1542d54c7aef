"""`hypha-cluster config`."""

import sys

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import hub_settings


def config(*, json: bool = False) -> None:
    """Print the settings in force, secrets masked. It takes the flags of `serve`.

    A star marks a setting that differs from its default.

    For example:

    ```sh
    hypha-cluster config --port 8080
    hypha-cluster config --json
    ```

    Parameters
    ----------
    json
        Print names and values only, for programs.
    """
    shown = hub_settings().shown()
    if json:
        show_json({about.name: value for about, value in shown})
        return
    for about, value in shown:
        changed = "*" if value != about.default else " "
        text = f"{value!r} {about.unit}".rstrip()
        sys.stdout.write(f"{changed} {about.name:<28}{text:<38}{about.env:<36}{about.help}\n")
