"""The program in which a plugin file runs, as a client of a hub.

Nothing of the hub is imported: it runs in whichever Python has imjoy-rpc. The plugin says
`from imjoy_rpc import api` and `api.export(…)`, as for the original's `hypha.runner`. The token
comes by the environment, for arguments are seen by everybody on the machine.
"""

import argparse
import asyncio
import functools
import importlib
import inspect
import json
import logging
import os
import re
import sys
import traceback
import urllib.error
import urllib.request
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

NAME: Final = 32  # characters of the name of a plugin that is a file of Python
LOOK: Final = 1.0  # seconds between two looks at the connection
LOST: Final = 60.0  # seconds without a connection, after which the client has given up
PATIENCE: Final = 10.0  # seconds for the hub to answer at all


class Exit(IntEnum):
    """What the exit code says."""

    READY = 0  # with --quit-on-ready
    BAD_FILE = 2
    REFUSED = 3
    LOST = 4


class Failed(Exception):
    """Why it ends, and with which exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


def main() -> int:
    """Run the plugin of the arguments."""
    parser = argparse.ArgumentParser(prog="hypha-cluster run")
    parser.add_argument("file")
    parser.add_argument("--server-url", required=True)
    parser.add_argument("--workspace")
    parser.add_argument("--quit-on-ready", action="store_true")
    asked = parser.parse_args()
    sys.path[0] = os.getcwd()
    logging.basicConfig(level=logging.INFO)
    connection = {"server_url": asked.server_url, "workspace": asked.workspace}
    connection["token"] = os.environ.pop("HYPHA_TOKEN", None)
    try:
        return asyncio.run(_run(asked.file, connection, quit_on_ready=asked.quit_on_ready))
    except Failed as error:
        sys.stderr.write(f"hypha-cluster run: {error}\n")
        return error.code
    except KeyboardInterrupt:
        return Exit.READY


async def _run(file: str, connection: dict[str, Any], *, quit_on_ready: bool) -> Exit:
    config, script = read_plugin(file, _content(file))
    _require_hub(connection["server_url"])
    exporting = asyncio.get_running_loop().create_future()
    api = _install_api(exporting)
    try:
        exec(compile(script, file, "exec"), {"__name__": "__main__", "__file__": file})
    except Exception as error:  # noqa: BLE001  # a plugin may raise any, and its user is told
        traceback.print_exc()
        raise Failed(Exit.BAD_FILE, f"{file} raised {type(error).__name__}: {error}") from None
    if not exporting.done():
        raise Failed(Exit.BAD_FILE, f"{file} does not call api.export(…)")
    exported, own = exporting.result()
    service, failures = _service(exported)
    server = await _register(service, {**connection, **config, **own}, api)
    if failures:
        what = f"{type(failures[0]).__name__}: {failures[0]}"
        raise Failed(Exit.BAD_FILE, f"{file}: its setup raised {what}")
    sys.stderr.write(f"{file} is ready.\n")
    if quit_on_ready:
        await server.disconnect()
        return Exit.READY
    await _until_lost(server)
    raise Failed(Exit.LOST, f"the connection to {connection['server_url']} is lost")


class OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to http, where anybody on the way could change what is run here."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise Failed(Exit.BAD_FILE, f"{req.full_url} leads to {newurl}: only https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _content(file: str) -> str:
    try:
        if file.startswith("http://"):
            raise Failed(Exit.BAD_FILE, f"{file}: only https, for what comes is run here")
        if file.startswith("https://"):
            opener = urllib.request.build_opener(OnlyHttps)
            with opener.open(file, timeout=PATIENCE) as answer:
                content: bytes = answer.read()
                return content.decode("utf-8")
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(Exit.BAD_FILE, f"{file} cannot be read: {error}") from None


def read_plugin(file: str, content: str) -> tuple[dict[str, Any], str]:
    """The config and the script, in Python, of a plugin file; Failed says what is wrong with it."""
    name = file.partition("?")[0] if file.startswith("http") else file
    if name.endswith(".py"):
        return {"name": Path(name).stem[:NAME]}, content
    if not name.endswith(".imjoy.html"):
        raise Failed(Exit.BAD_FILE, f"a plugin is a .py or .imjoy.html file, unlike {file}")
    attributes, config = _tag("config", content, file)
    language, script = _tag("script", content, file)
    if "python" not in language:
        raise Failed(Exit.BAD_FILE, f'{file}: its <script> must have lang="python"')
    return _read_config(attributes, config, file), script


def _tag(tag: str, content: str, file: str) -> tuple[str, str]:
    found = re.search(rf"<{tag}\b([^>]*)>\n?(.*?)</{tag}>", content, re.DOTALL)
    if not found:
        raise Failed(Exit.BAD_FILE, f"{file} has no <{tag}>")
    return found[1], found[2]


def _read_config(attributes: str, text: str, file: str) -> dict[str, Any]:
    try:
        if "yaml" in attributes:
            import yaml

            config = yaml.safe_load(text)
        else:
            config = json.loads(text)
    except ImportError:
        raise Failed(Exit.BAD_FILE, f"{file}: reading YAML needs the package PyYAML") from None
    except ValueError as error:
        raise Failed(Exit.BAD_FILE, f"{file}: its <config> cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise Failed(Exit.BAD_FILE, f"{file}: its <config> is no map")
    return config


def _require_hub(server_url: str) -> None:
    """Fail if nobody answers: the client would wait for that without an end."""
    try:
        with urllib.request.urlopen(f"{server_url}/health/live", timeout=PATIENCE):
            pass
    except urllib.error.HTTPError as error:
        error.close()  # somebody answers
    except (OSError, ValueError) as error:
        raise Failed(Exit.REFUSED, f"no hub answers at {server_url}: {error}") from None


class _Api(dict[str, Any]):
    """`api` of a plugin: `export`, and the functions of the hub once it is connected."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"api has no {name!r} before it is connected") from None


def _install_api(exporting: "asyncio.Future[Any]") -> _Api:
    """What `from imjoy_rpc import api` gives from now on."""
    try:
        importlib.import_module("imjoy_rpc.hypha")  # before its package changes
    except ImportError as error:
        raise Failed(
            Exit.BAD_FILE,
            f"{sys.executable} cannot import imjoy-rpc ({error}); install hypha-cluster[functions]",
        ) from None

    def export(exported: Any, config: dict[str, Any] | None = None) -> None:
        if not exporting.done():
            exporting.set_result((exported, config or {}))

    module: ModuleType = sys.modules["imjoy_rpc"]
    module.api = api = _Api(export=export)  # type: ignore[attr-defined]  # imjoy-rpc's own is for Jupyter
    return api


def _service(exported: Any) -> tuple[dict[str, Any], list[Exception]]:
    """What a plugin offers; and, once the hub has called its `setup`, what that has raised.

    The hub tells nobody: it registers a service whose setup fails all the same.
    """
    service = dict(exported) if isinstance(exported, dict) else _members(exported)
    setup, failures = service.get("setup"), list[Exception]()
    if not callable(setup):
        return service, failures

    @functools.wraps(setup)
    async def noted(*args: Any, **kwargs: Any) -> Any:
        try:
            result = setup(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            failures.append(error)
            raise

    return {**service, "setup": noted}, failures


async def _register(service: dict[str, Any], config: dict[str, Any], api: _Api) -> Any:
    """Connect, and offer a plugin as the service `default`.

    The hub calls its `setup` before the registration is answered.
    """
    client = sys.modules["imjoy_rpc.hypha"]
    try:
        server = await client.connect_to_server(config)
    except Exception as error:  # noqa: BLE001  # the client raises bare ones
        raise Failed(Exit.REFUSED, f"the hub refuses the plugin: {error}") from None
    api.update({name: server[name] for name in server})
    service = {**service, "id": "default", "name": config.get("name", "default")}
    await server.rpc.register_service(service, overwrite=True)
    return server


def _members(exported: Any) -> dict[str, Any]:
    names = [name for name, _ in inspect.getmembers(exported) if not name.startswith("_")]
    return {name: getattr(exported, name) for name in names}


async def _until_lost(server: Any) -> None:
    """Return when the client has had no connection for so long that it has given up."""
    connection, silent = server.rpc._connection, 0.0
    while silent < LOST:
        await asyncio.sleep(LOOK)
        silent = silent + LOOK if connection._websocket.closed else 0.0


if __name__ == "__main__":
    sys.exit(main())
