"""`hypha-cluster assets`."""

import sys
from collections.abc import Sequence

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.errors import CommandFailed
from hypha_cluster.serving.logs import wants_colour
from hypha_cluster.web.assets.catalogue import Package, is_complete
from hypha_cluster.web.assets.fetching import FetchFailed, fetch, wanted


def assets(*names: str, get: bool = False, json: bool = False) -> None:
    """List the npm packages that the hub serves for its pages; or get those that are missing.

    The JavaScript client is always there. A hub that runs needs no restart after --get.

    For example:

    ```sh
    hypha-cluster assets
    hypha-cluster assets --get swagger-ui-dist
    ```

    Parameters
    ----------
    names
        Packages; without any, all.
    get
        Get what is missing, by npm and pip, in the releases that this hub was made for.
    json
        Print the packages as JSON, for programs.
    """
    try:
        packages = wanted(names)
        if get:
            _get([package for package in packages if not is_complete(package)])
    except FetchFailed as error:
        raise CommandFailed(str(error)) from None
    there = [(package, is_complete(package)) for package in packages]
    if json:
        show_json([{"package": p.label, "purpose": p.purpose, "there": has} for p, has in there])
        return
    rows = [(p.label, "there" if has else "missing", p.purpose) for p, has in there]
    show_table(("package", "here", "purpose"), rows, "No packages.")


def _get(missing: Sequence[Package]) -> None:
    """Fetch packages; a terminal has a bar meanwhile, of how many are there."""
    if not wants_colour(sys.stderr):
        for package in missing:
            sys.stderr.write(f"Getting {package.label} …\n")
            fetch(package)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(missing))
        for package in missing:
            progress.update(task, description=f"Getting {package.label}")
            fetch(package)
            progress.advance(task)
