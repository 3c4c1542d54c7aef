"""Installs apps: reads what they are made of, makes their pages, keeps both."""

import asyncio
import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from hypha_cluster.errors import BadRequest, Conflict, TooLarge
from hypha_cluster.features.launcher.fetching import fetch
from hypha_cluster.features.launcher.identifiers import check_file_name, multihash
from hypha_cluster.features.launcher.manifest import DEFAULTS, INDEX, RDF, manifest_of
from hypha_cluster.features.launcher.packages import Packages
from hypha_cluster.features.launcher.plugins import check_source, is_page, parse_plugin, title_of
from hypha_cluster.features.launcher.probes import PROBES, Probe
from hypha_cluster.features.launcher.rendering import (
    PYTHON,
    Code,
    render,
    requirements_of,
    template_of,
)
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import (
    APP_FETCHES,
    APP_FILE,
    APP_FILES,
    APP_INSTALLS,
    APP_RECORD,
    APP_SIZE,
)
from hypha_cluster.registry.apps import App, AppFile, Apps
from hypha_cluster.registry.encoding import to_json

_IMJOY: Final = "imjoy"  # the template of plugin files
_SHOWN: Final = (None, "window", "iframe")  # types of apps whose source may be a page
_ATTEMPTS: Final = 5  # to edit an app that others change at the same time


class Recipe(NamedTuple):
    """What an app is made of, as `install` takes it."""

    source: Any
    config: Any = None
    template: Any = None
    attachments: Any = None


class Place(NamedTuple):
    """Where an app is put, by whom.

    key: its id in its workspace. after: which version it takes the place of, if that counts.
    """

    workspace: str
    owner: str
    key: str = ""
    after: int | None = None


class Contents(NamedTuple):
    """The files of an app. new: what is in those that no version has yet, by their names."""

    files: dict[str, AppFile]
    new: dict[str, bytes]


class Installer:
    """Installs and edits apps.

    root: the path under which the hub serves everything. packages: those that apps in Python may
    require.
    """

    def __init__(self, apps: Apps, root: str, packages: Packages) -> None:
        self._packages = packages
        self._apps = apps
        self._root = root
        self._fetches = asyncio.Semaphore(APP_FETCHES)
        self._turns = WeakValueDictionary[str, asyncio.Semaphore]()

    def turn(self, user: str) -> asyncio.Semaphore:
        """A user's turns to install or edit: few at once, as what they fetch is in memory."""
        return self._turns.setdefault(user, asyncio.Semaphore(APP_INSTALLS))

    async def install(
        self, place: Place, recipe: Recipe, *, source_hash: Any = None, overwrite: bool = False
    ) -> App:
        """Install an app; under the hash of its source, if its place has no key.

        overwrite: it may take the place of one of the same key. BadRequest, TooLarge, or what is
        wrong with an address that its source is at.
        """
        source = await self._text_of(recipe.source)
        digest = multihash(source.encode())
        if source_hash not in (None, digest):
            raise BadRequest(
                f"App source code verification failed (source_hash: {shown(source_hash)})."
            )
        if not place.key:
            place = place._replace(key=digest)
        elif not overwrite:
            await self._check_free(place)
            place = place._replace(after=0)
        contents = _described(await self._attachments(recipe.attachments))
        return await self._put(place, recipe._replace(source=source), contents)

    async def _check_free(self, place: Place) -> None:
        if await self._apps.find(place.workspace, place.key):
            raise Conflict(
                f"There is an app {shown(place.key)} already; edit it, install it with "
                "overwrite=True, or uninstall it first."
            )

    async def edit(self, app: App, owner: str, changes: Mapping[str, Any]) -> App:
        """Make a new version of an app, with some of what it is made of changed; its id stays.

        Conflict when somebody else has changed it meanwhile, again and again.
        """
        given = {key: each for key, each in changes.items() if each is not None}
        if "source" in given:
            given["source"] = await self._text_of(given["source"])
        attachments = None
        if "attachments" in given:
            attachments = _described(await self._attachments(given.pop("attachments")))
        for attempt in range(_ATTEMPTS):
            recipe = Recipe(**await self._apps.recipe(app))._replace(**given)
            place = Place(app.workspace, owner, app.key, app.version)
            try:
                return await self._put(place, recipe, attachments or _kept(app))
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                app = await self._apps.get(app.workspace, app.key)
        raise AssertionError

    async def _put(self, place: Place, recipe: Recipe, attachments: Contents) -> App:
        config, page = await asyncio.to_thread(self._page, recipe)
        index = _described({INDEX: page.encode()})
        files, new = attachments.files | index.files, attachments.new | index.new
        _check_sizes(files)
        names = [name for name in files if name != INDEX]
        app = App(
            place.workspace,
            place.key,
            manifest_of(config, names),
            files,
            place.owner,
            1,
            {kind: config[kind] for kind in PROBES if config.get(kind) is not None},
        )
        _check_record(app)
        made_of = {key: getattr(recipe, key) for key in ("source", "config", "template")}
        to_json("The config of an app", made_of)
        return await self._apps.install(app, new, made_of, after=place.after)

    def _page(self, recipe: Recipe) -> tuple[dict[str, Any], str]:
        """What the app says of itself, and its page."""
        template, given, source = recipe.template, recipe.config, check_source(recipe.source)
        if given is not None and not isinstance(given, dict):
            raise BadRequest(f"'config' of an app is a dict, not {shown(given)}.")
        if template is None and is_page(source) and (given or {}).get("type") in _SHOWN:
            template, given = "", {"name": title_of(source), **(given or {})}
        if template == _IMJOY or (template is None and given is None):
            if given:
                raise BadRequest("Config should not be provided for imjoy plugin.")
            config = {**DEFAULTS, **parse_plugin(source)}
            code = Code(config["script"], config)
            return config, self._render(code, _type_of(config))
        config = {**DEFAULTS, **(given or {})}
        if template == "":
            return config, source
        name = _type_of(config) if template is None else template
        return config, self._render(Code(source, config), name)

    def _render(self, code: Code, kind: str) -> str:
        template = template_of(kind)
        if template == PYTHON:
            self._packages.check(requirements_of(code.config))
        return render(code, template, self._root, self._packages)

    async def _text_of(self, source: Any) -> str:
        """The source of an app, fetched if it is an address."""
        text = check_source(source)
        if not text.startswith(("http://", "https://")):
            return text
        content = await self._fetch(text.strip())
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"What is at {shown(text)} is no text.") from None

    async def _attachments(self, given: Any) -> dict[str, bytes]:
        if given is None:
            return {}
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise BadRequest("'attachments' of an app is a list of {name, source}.")
        if len(given) > APP_FILES:
            raise TooLarge(f"An app has at most {APP_FILES} attachments, not {len(given)}.")
        found: dict[str, bytes] = {}
        size = 0
        for each in given:
            name = check_file_name(each.get("name"))
            if name in (INDEX, RDF) or name in found:
                raise BadRequest(f"Two files of the app would be called {shown(name)}.")
            found[name] = await self._content(name, each)
            size += len(found[name])
            if size > APP_SIZE:  # before the next one is fetched
                raise TooLarge(f"An app has at most {APP_SIZE} bytes; its attachments have more.")
        return found

    async def _content(self, name: str, given: Mapping[str, Any]) -> bytes:
        source, encoding = given.get("source"), given.get("encoding")
        if encoding is not None:
            return _decoded(name, source, encoding)
        if isinstance(source, dict):  # an array of JavaScript's, as it travels
            source = source.get("_rvalue")
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            return await self._fetch(source)
        if isinstance(source, str):
            return source.encode()
        if isinstance(source, bytes | bytearray | memoryview):
            return bytes(source)
        raise BadRequest(f"'source' of the attachment {shown(name)} is text or bytes.")

    async def _fetch(self, url: str) -> bytes:
        async with self._fetches:
            return await fetch(url, APP_FILE)


def _decoded(name: str, source: Any, encoding: Any) -> bytes:
    """Bytes that came as text, for JSON has none."""
    if encoding != "base64" or not isinstance(source, str):
        raise BadRequest(
            f"'encoding' of the attachment {shown(name)} is 'base64', of a text, or nothing."
        )
    try:
        return base64.b64decode(source, validate=True)
    except ValueError:  # binascii.Error is one
        raise BadRequest(f"'source' of the attachment {shown(name)} is no base64.") from None


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


def _check_sizes(files: Mapping[str, AppFile]) -> None:
    for name, file in files.items():
        if file.size > APP_FILE:
            raise TooLarge(
                f"A file of an app has at most {APP_FILE} bytes; {shown(name)} has {file.size}."
            )
    if (size := sum(file.size for file in files.values())) > APP_SIZE:
        raise TooLarge(f"An app has at most {APP_SIZE} bytes, not {size}.")


def _described(contents: Mapping[str, bytes]) -> Contents:
    files = {
        name: AppFile(len(content), sha256(content).hexdigest())
        for name, content in contents.items()
    }
    return Contents(files, dict(contents))


def _kept(app: App) -> Contents:
    """The attachments that an app has."""
    return Contents({name: file for name, file in app.files.items() if name != INDEX}, {})
