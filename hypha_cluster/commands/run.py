"""`hypha-cluster run`."""

import os
import sys
from pathlib import Path

from hypha_cluster.commands.target import hub_settings, read_token, server_url_of
from hypha_cluster.errors import StartupError
from hypha_cluster.features.functions import plugin
from hypha_cluster.features.functions.functions import Functions
from hypha_cluster.settings import CLIENT_VARIABLES


def run(
    file: str,
    /,
    *,
    server_url: str = "",
    workspace: str = "",
    token: str = "",
    token_file: Path | None = None,
    quit_on_ready: bool = False,
) -> None:
    """Run a plugin file, .py or .imjoy.html, as a client of a hub.

    It ends with 0 after --quit-on-ready or Ctrl-C; with 2 if the file is no plugin or its `setup`
    fails; with 3 if the hub refuses it or does not answer; with 4 if the connection is lost for
    good. The plugin runs in the Python of `--functions-python`, which must have imjoy-rpc.

    For example:

    ```sh
    hypha-cluster run ./segment.py --workspace lab --token-file ~/.hypha-token
    hypha-cluster run https://example.org/segment.imjoy.html --quit-on-ready
    ```

    Parameters
    ----------
    file
        Path or address of the plugin.
    server_url
        Where the hub is; without it, HYPHA_SERVER_URL, else the hub of these settings on this
        machine.
    workspace
        Workspace of the plugin; without it, one of its own.
    token
        Token of the user; better in HYPHA_TOKEN or in a file, since everybody on this machine can
        see arguments.
    token_file
        File with the token of the user.
    quit_on_ready
        End when the plugin has registered its functions.
    """
    settings = hub_settings()
    (functions,) = (chosen for kind, chosen in settings.features if kind is Functions)
    python = functions.functions_python or sys.executable
    words = [python, str(Path(plugin.__file__)), file]
    words.append(f"--server-url={server_url_of(server_url, settings.node)}")
    words += [f"--workspace={workspace}"] if workspace else []
    words += ["--quit-on-ready"] if quit_on_ready else []
    try:
        os.execve(python, words, _environment(token, token_file))
    except OSError as error:
        raise StartupError(f"functions_python: {python}: {error.strerror}") from None


def _environment(token: str, token_file: Path | None) -> dict[str, str]:
    environ = dict(os.environ)
    if token_file:
        token = read_token(token_file)
    if token:
        environ[CLIENT_VARIABLES["token"]] = token
    return environ
