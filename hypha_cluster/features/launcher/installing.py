"""Installs apps: reads what they are made of, makes their pages, keeps both."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadRequest, Conflict, TooLarge
from hypha_cluster.features.launcher.fetching import fetch
from hypha_cluster.features.launcher.identifiers import check_file_name, check_key, multihash
from hypha_cluster.features.launcher.manifest import DEFAULTS, INDEX, manifest_of
from hypha_cluster.features.launcher.plugins import check_source, parse_plugin
from hypha_cluster.features.launcher.probes import PROBES, Probe
from hypha_cluster.features.launcher.rendering import Code, render, template_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_FILE, APP_FILES, APP_RECORD, APP_SIZE
from hypha_cluster.registry.apps import App, AppFile, Apps
from hypha_cluster.registry.encoding import to_json

_IMJOY: Final = "imjoy"  # the template of plugin files


class Recipe(NamedTuple):
    """What an app is made of, as `install` takes it."""

    source: Any
    config: Any = None
    template: Any = None
    attachments: Any = None


class Place(NamedTuple):
    """Where an app is put, by whom, and how often there was one before."""

    workspace: str
    key: str
    owner: str
    version: int = 1


class Installer:
    """root: the path under which the hub serves everything."""

    def __init__(self, apps: Apps, root: str) -> None:
        self._apps = apps
        self._root = root

    async def install(
        self, workspace: str, owner: str, recipe: Recipe, *, key: str | None, source_hash: Any
    ) -> App:
        """Install an app; under the hash of its source, if no key is given.

        BadRequest, TooLarge, or what is wrong with an address that its source is at.
        """
        source = await _text_of(recipe.source)
        digest = multihash(source.encode())
        if source_hash not in (None, digest):
            raise BadRequest(
                f"App source code verification failed (source_hash: {shown(source_hash)})."
            )
        if key is not None and await self._apps.find(workspace, check_key(key)):
            raise Conflict(f"There is an app {shown(key)} already; edit it, or uninstall it first.")
        place = Place(workspace, key or digest, owner)
        return await self._put(place, recipe._replace(source=source))

    async def edit(self, app: App, owner: str, changes: Mapping[str, Any]) -> App:
        """Make an app anew, with some of what it is made of changed; its id stays."""
        known = Recipe(**await self._apps.recipe(app))
        recipe = known._replace(**{key: each for key, each in changes.items() if each is not None})
        recipe = recipe._replace(source=await _text_of(recipe.source))
        kept = {}
        if recipe.attachments is None:
            names = [name for name in app.files if name != INDEX]
            kept = {name: await self._apps.content(app, name) for name in names}
        return await self._put(Place(app.workspace, app.key, owner, app.version + 1), recipe, kept)

    async def _put(
        self, place: Place, recipe: Recipe, kept: Mapping[str, bytes] | None = None
    ) -> App:
        config, page = await asyncio.to_thread(self._page, recipe)
        contents = {**(kept or await _attachments(recipe.attachments)), INDEX: page.encode()}
        _check_sizes(contents)
        attachments = [name for name in contents if name != INDEX]
        app = App(
            place.workspace,
            place.key,
            manifest_of(config, attachments),
            {name: _described(content) for name, content in contents.items()},
            place.owner,
            place.version,
            {kind: config[kind] for kind in PROBES if config.get(kind) is not None},
        )
        _check_record(app)
        made_of = {key: getattr(recipe, key) for key in ("source", "config", "template")}
        to_json("The config of an app", made_of)
        await self._apps.install(app, contents, made_of)
        return app

    def _page(self, recipe: Recipe) -> tuple[dict[str, Any], str]:
        """What the app says of itself, and its page."""
        template, given, source = recipe.template, recipe.config, check_source(recipe.source)
        if given is not None and not isinstance(given, dict):
            raise BadRequest(f"'config' of an app is a dict, not {shown(given)}.")
        if template == _IMJOY or (template is None and given is None):
            if given:
                raise BadRequest("Config should not be provided for imjoy plugin.")
            config = {**DEFAULTS, **parse_plugin(source)}
            code = Code(config["script"], config)
            return config, render(code, template_of(_type_of(config)), self._root)
        config = {**DEFAULTS, **(given or {})}
        if template == "":
            return config, source
        name = _type_of(config) if template is None else template
        return config, render(Code(source, config), template_of(name), self._root)


def _check_record(app: App) -> None:
    text = to_json("The manifest of an app", [app.manifest, app.probes])
    if len(text) > APP_RECORD:
        raise TooLarge(f"The manifest of an app has at most {APP_RECORD} bytes, not {len(text)}.")
    for kind in PROBES:
        Probe.of(app.probes, kind)


def _type_of(config: Mapping[str, Any]) -> str:
    kind = config.get("type")
    if not isinstance(kind, str) or not kind:
        raise BadRequest("The config of an app has a type, such as window or web-worker.")
    return kind


async def _text_of(source: Any) -> str:
    """The source of an app, fetched if it is an address."""
    text = check_source(source)
    if not text.startswith(("http://", "https://")):
        return text
    content = await fetch(text.strip(), APP_FILE)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"What is at {shown(text)} is no text.") from None


async def _attachments(given: Any) -> dict[str, bytes]:
    if given is None:
        return {}
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadRequest("'attachments' of an app is a list of {name, source}.")
    if len(given) > APP_FILES:
        raise TooLarge(f"An app has at most {APP_FILES} attachments, not {len(given)}.")
    found: dict[str, bytes] = {}
    for each in given:
        name = check_file_name(each.get("name"))
        if name == INDEX or name in found:
            raise BadRequest(f"Two files of the app would be called {shown(name)}.")
        found[name] = await _content(name, each.get("source"))
    return found


async def _content(name: str, source: Any) -> bytes:
    if isinstance(source, dict):  # an array of JavaScript's, as it travels
        source = source.get("_rvalue")
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return await fetch(source, APP_FILE)
    if isinstance(source, str):
        return source.encode()
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    raise BadRequest(f"'source' of the attachment {shown(name)} is text or bytes.")


def _check_sizes(contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        if len(content) > APP_FILE:
            raise TooLarge(
                f"A file of an app has at most {APP_FILE} bytes; {shown(name)} has {len(content)}."
            )
    if (size := sum(map(len, contents.values()))) > APP_SIZE:
        raise TooLarge(f"An app has at most {APP_SIZE} bytes, not {size}.")


def _described(content: bytes) -> AppFile:
    return AppFile(len(content), sha256(content).hexdigest())
