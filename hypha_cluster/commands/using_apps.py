"""`hypha-cluster apps install` and the like: what users do with apps, as users, over HTTP."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import ANSWER_TIME, Hub, Interrupted
from hypha_cluster.errors import CommandFailed, StartupError

_SERVICE: Final = "public/services/server-apps"
_NO_APPS: Final = "404: Service not found: public/server-apps"
_SILENCE: Final = 40.0  # seconds; a log that is followed says something every 15
_AGAIN: Final = 1.0  # seconds until one that broke off is followed anew
_TRIES: Final = 60  # in a row
_OVER: Final = ("stopped", "failed", "forgotten")
_BY_ENDING: Final = {".html": "page", ".htm": "page", ".py": "web-python"}
_PLUGIN: Final = "plugin"


@Parameter(name="*")
@dataclass(frozen=True)
class Asking:
    """Which hub is asked, as whom, and how its answer is shown."""

    server_url: str = ""
    """Where the hub is; without it, HYPHA_SERVER_URL, else the hub of these settings on this
    machine."""
    token_file: Path | None = None
    """File with the token of the user who asks; without it, HYPHA_TOKEN."""
    json: bool = False
    """Print JSON, for programs."""

    @property
    def names_hub(self) -> bool:
        """Whether a flag says which hub is asked, or as whom."""
        return bool(self.server_url or self.token_file)

    @property
    def hub(self) -> Hub:
        return Hub(self.server_url, self.token_file)


ASKING: Final = Asking()


def install(  # noqa: PLR0913  # each is a flag
    source: str,
    /,
    *attach: Path,
    workspace: str = "",
    type: str = "",
    name: str = "",
    app_id: str = "",
    start: bool = False,
    asking: Asking = ASKING,
) -> None:
    """Install an app from a file, or from an address, and print its id.

    For example:

    ```sh
    hypha-cluster apps install adder.js --start
    hypha-cluster apps install site.html data/a.txt data/b.png --app-id site
    hypha-cluster apps install https://lab.example/segment.imjoy.html --workspace ws-1
    ```

    Parameters
    ----------
    source
        The file, or an address that begins with https://.
    attach
        Files that the page finds beside it, under the names given here.
    workspace
        Workspace to install it in; without it, the user's own.
    type
        Kind of app: window, iframe, web-worker, web-python, page or plugin; without it, the file
        decides.
    name
        Name of the app; without it, that of the file.
    app_id
        A readable id of your own; without it, the hub makes one of the source.
    start
        Start the app too, and print the id of the instance.
    """
    hub = asking.hub
    values = _recipe(source, type, name)
    if attach:
        values["attachments"] = [
            {"name": each.as_posix(), "source": _read(each)} for each in attach
        ]
    values |= {"workspace": workspace} if workspace else {}
    values |= {"app_id": app_id} if app_id else {}
    found = _call(hub, "install", values)
    if start:
        found = _call(hub, "start", {"app_id": found["id"]})
    _show(found, found["id"], asking.json)


def edit(
    app: str,
    source: str = "",
    /,
    *,
    config: Path | None = None,
    asking: Asking = ASKING,
) -> None:
    """Change what an app is made of; instances stay as they are until they are started again.

    For example:

    ```sh
    hypha-cluster apps edit ada/adder
    hypha-cluster apps edit ada/adder adder.js --config adder.json
    ```

    Parameters
    ----------
    app
        Its id, WORKSPACE/APP.
    source
        File or address of the new source; without it and --config, the editor that EDITOR names
        opens the present one.
    config
        File with the new config, as JSON.
    """
    hub = asking.hub
    changes: dict[str, Any] = {"config": _config(config)} if config else {}
    if source:
        changes["source"] = _source(source)
    elif not config:
        changes["source"] = _edited(_call(hub, "get_source", {"app_id": app})["source"])
    _show(_call(hub, "edit", {"app_id": app, **changes}), app, asking.json)


def remove(app: str, /, *, asking: Asking = ASKING) -> None:
    """Stop all instances of an app, and remove it with all its files.

    For example:

    ```sh
    hypha-cluster apps remove ada/adder
    ```

    Parameters
    ----------
    app
        Its id, WORKSPACE/APP.
    """
    _call(asking.hub, "uninstall", {"app_id": app})
    _show({"id": app}, f"{app} is removed.", asking.json)


def start(  # each is a flag
    app: str,
    /,
    *,
    client_id: str = "",
    timeout: Annotated[float, Parameter(show_default=True)] = ANSWER_TIME,
    wait_for: str = "",
    asking: Asking = ASKING,
) -> None:
    """Start an app, wait until it is ready, and print the id of the instance.

    For example:

    ```sh
    hypha-cluster apps start ada/adder
    hypha-cluster apps start ada/adder --client-id adder-1 --timeout 120
    ```

    Parameters
    ----------
    app
        Its id, WORKSPACE/APP.
    client_id
        Client id of the instance; without it, the hub makes one.
    timeout
        Seconds that the start may take.
    wait_for
        Id of the service that makes the app ready once it offers it; without it, `default`.
    """
    values: dict[str, Any] = {"app_id": app, "timeout": timeout}
    values |= {"client_id": client_id} if client_id else {}
    values |= {"wait_for_service": wait_for} if wait_for else {}
    found = _call(asking.hub, "start", values, patience=timeout + ANSWER_TIME)
    _show(found, f"{found['workspace']}/{found['id']}", asking.json)


def stop(
    instance: str,
    /,
    *,
    asking: Asking = ASKING,
) -> None:
    """Stop an instance of an app.

    For example:

    ```sh
    hypha-cluster apps stop ada/1a5f25891b9c4716
    ```

    Parameters
    ----------
    instance
        WORKSPACE/CLIENT, as `apps list` and `apps start` print it; the user's own workspace may be
        left out.
    """
    _call(asking.hub, "stop", _instance(instance))
    _show({"id": instance}, f"{instance} is stopped.", asking.json)


def logs(
    instance: str,
    /,
    *,
    follow: bool = False,
    type: str = "",
    asking: Asking = ASKING,
) -> None:
    """Print the log of an instance, also after its end; with --json an object on each line.

    For example:

    ```sh
    hypha-cluster apps logs ada/adder-1 --type error
    hypha-cluster apps logs ada/adder-1 --follow
    ```

    Parameters
    ----------
    instance
        WORKSPACE/CLIENT; the user's own workspace may be left out.
    follow
        Go on until the instance is over, or Ctrl-C, also when gateways come and go.
    type
        Only entries of this type: error, warning, log, info or debug.
    """
    hub, values = asking.hub, _instance(instance)
    entries = _followed(hub, values) if follow else _call(hub, "logs", values)["items"]
    for entry in entries:
        if type not in ("", entry["type"]):
            continue
        sys.stdout.write(_line(entry, asking.json))
        sys.stdout.flush()


def found(asking: Asking, workspace: str, *, installed: bool) -> list[dict[str, Any]]:
    """What a hub lists to a user."""
    values = {"workspace": workspace} if workspace else {}
    function = "list_apps" if installed else "list_running"
    listed: list[dict[str, Any]] = _call(asking.hub, function, values)
    return listed


COMMANDS: Final = (install, start, stop, logs, edit, remove)


def _call(hub: Hub, function: str, values: dict[str, Any], patience: float = 0.0) -> Any:
    path = f"{_SERVICE}/{function}"
    try:
        return hub.ask("POST", path, values, patience=patience or 2 * ANSWER_TIME)
    except CommandFailed as error:
        if str(error).startswith(_NO_APPS):
            raise CommandFailed(
                f"{hub.url} runs no server apps; its operator starts it with --enable-server-apps"
            ) from None
        raise


def _show(found: Any, text: str, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        sys.stdout.write(f"{text}\n")


def _followed(hub: Hub, values: dict[str, Any]) -> Any:
    """The entries of a log as they come, on whichever gateway is there."""
    after, tries = "", 0
    while True:
        try:
            path = f"{_SERVICE}/follow"
            for entry in hub.lines(path, {**values, "after": after}, patience=_SILENCE):
                after, tries = entry["cursor"], 0
                yield entry
                if entry["type"] == "state" and entry["text"] in _OVER:
                    return
        except Interrupted:
            tries += 1
            if tries == _TRIES:
                raise
        time.sleep(_AGAIN)


def _line(entry: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(entry, ensure_ascii=False) + "\n"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["time"]))
    return f"{at} {entry['type']}: {entry['text']}\n"


def _instance(text: str) -> dict[str, str]:
    workspace, slash, client = text.rpartition("/")
    return {"client_id": client, "workspace": workspace} if slash else {"client_id": client}


def _recipe(source: str, kind: str, name: str) -> dict[str, Any]:
    """What `install` takes for a file, or an address, of some kind."""
    text = _source(source)
    kind = kind or _kind_of(source, text)
    if kind == _PLUGIN:
        return {"source": text}
    config = {"name": name or Path(source).name.partition(".")[0] or "An app"}
    if kind == "page":
        return {"source": text, "config": config, "template": ""}
    return {"source": text, "config": {**config, "type": kind}}


def _kind_of(name: str, text: str) -> str:
    if name.endswith(".imjoy.html") or "<config" in text:
        return _PLUGIN
    return _BY_ENDING.get(Path(name).suffix, "window")


def _source(name: str) -> str:
    """What is in a file; an address is left to the hub."""
    if name.startswith(("https://", "http://")):
        return name
    try:
        return _read(Path(name)).decode()
    except UnicodeDecodeError:
        raise StartupError(f"apps: {name} is no text") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"apps: {path} cannot be read: {error.strerror}") from None


def _config(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise StartupError(f"apps: {path} is no JSON: {error}") from None


def _edited(source: str) -> str:
    """A source as a person has left it in their editor; CommandFailed if they gave up."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.txt"
        path.write_text(source, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), path], check=False)
        except OSError as error:
            raise StartupError(f"apps: the editor {editor} cannot be started: {error}") from None
        if done.returncode:
            raise CommandFailed(f"{editor} ended with {done.returncode}, so nothing is changed")
        return path.read_text(encoding="utf-8")
