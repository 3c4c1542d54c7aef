"""`hypha-cluster assets`."""

import sys

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.errors import CommandFailed
from hypha_cluster.web.assets.catalogue import is_complete
from hypha_cluster.web.assets.fetching import FetchFailed, fetch, wanted


def assets(*names: str, get: bool = False, json: bool = False) -> None:
    """List what the hub serves of npm packages, for its pages; or get what is missing.

    The JavaScript client is there always. A hub that runs needs no restart.

    For example:

    ```sh
    hypha-cluster assets
    hypha-cluster assets --get swagger-ui-dist
    ```

    Parameters
    ----------
    names
        Packages; all without.
    get
        Get what is missing, by npm and pip, in the release that this hub was made for.
    json
        Print the packages as JSON, for programs.
    """
    try:
        packages = wanted(names)
        for package in packages:
            if get and not is_complete(package):
                sys.stderr.write(f"Getting {package.label} …\n")
                fetch(package)
    except FetchFailed as error:
        raise CommandFailed(str(error)) from None
    there = [(package, is_complete(package)) for package in packages]
    if json:
        show_json([{"package": p.label, "purpose": p.purpose, "there": has} for p, has in there])
        return
    rows = [(p.label, "there" if has else "missing", p.purpose) for p, has in there]
    show_table(("package", "here", "purpose"), rows, "No packages.")
