"""`hypha-cluster call`."""

import sys
from json import loads
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import Hub
from hypha_cluster.errors import CommandFailed, StartupError
from hypha_cluster.serving.logs import wants_colour

_PUBLIC: Final = (
    " (a public service is in the workspace of its client, not in `public`; `hypha-cluster "
    "services` lists where)"
)
_NOT_FOUND: Final = "404: Service not found: public/"


def call(
    target: str,
    /,
    *arguments: str,
    server_url: str = "",
    token_file: Path | None = None,
    json: bool = False,
) -> None:
    """Call a function of a service over HTTP, and print what it returns, as JSON.

    For example:

    ```sh
    hypha-cluster call ws-1/hello-world.hello name=Ada
    hypha-cluster call ws-1/my-client:sums.add a=1 b='[2, 3]' --server-url https://hub.example
    ```

    Parameters
    ----------
    target
        WORKSPACE/SERVICE.FUNCTION; the service may be CLIENT:SERVICE, as `services` lists it.
    arguments
        NAME=VALUE; a VALUE that is JSON is passed as that value, anything else as text.
    server_url
        Where the hub is; without it, HYPHA_SERVER_URL, else the hub of these settings on this
        machine.
    token_file
        File with the token of the user who calls; without it, HYPHA_TOKEN, else an anonymous user.
    json
        Print without colours, also on a terminal.
    """
    hub = Hub(server_url, token_file)
    path, keywords = path_of(target), dict(map(keyword, arguments))
    try:
        if wants_colour(sys.stderr):
            from rich.console import Console

            with Console(stderr=True).status(f"calling {target}"):
                answer = hub.ask("POST", path, keywords)
        else:
            answer = hub.ask("POST", path, keywords)
    except CommandFailed as error:
        hint = _PUBLIC if str(error).startswith(_NOT_FOUND) else ""
        raise CommandFailed(f"{error}{hint}") from None
    show_json(answer, colours=not json)


def path_of(target: str) -> str:
    """The path of a function, below the address of the hub."""
    workspace, slash, rest = target.partition("/")
    service, dot, function = rest.partition(".")
    if not (workspace and slash and service and dot and function):
        raise StartupError(f"call: write WORKSPACE/SERVICE.FUNCTION, not {target!r}")
    return "/".join((quote(workspace), "services", quote(service, ":"), quote(function)))


def keyword(argument: str) -> tuple[str, Any]:
    """A name and what is passed by it."""
    name, equals, text = argument.partition("=")
    if not name or not equals:
        raise StartupError(f"call: write an argument as NAME=VALUE, not {argument!r}")
    try:
        return name, loads(text)
    except ValueError:
        return name, text
