"""Apps that are installed in workspaces: what is known of each, its versions, and its files."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple, Self

from hypha_cluster.errors import Conflict, NotFound, TooLarge
from hypha_cluster.links.client import RedisClient, Word
from hypha_cluster.protocol.limits import APP_VERSIONS, APPS, APPS_SIZE
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_TICKET_LIFE: Final = 3_600_000  # ms


class AppFile(NamedTuple):
    """One file of an app. digest: sha2-256 of its content, in hexadecimal digits."""

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class App:
    """An installed app.

    key: its id in its workspace. version: its number, from 1 on. probes: how it says that it is
    ready, and well. recipe: what it was made of, to make it anew.
    """

    workspace: str
    key: str
    manifest: dict[str, Any]
    files: dict[str, AppFile]
    owner: str
    version: int
    probes: dict[str, Any]
    recipe: AppFile = AppFile(0, "")

    @property
    def id(self) -> str:
        return f"{self.workspace}/{self.key}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files.values())

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    def to_json(self) -> str:
        """What is known of it, without its workspace, its id and its number."""
        known = asdict(self)
        del known["workspace"], known["key"], known["version"]
        return json.dumps(known)

    @classmethod
    def from_json(cls, workspace: str, key: str, text: bytes, version: int = 1) -> Self:
        known = json.loads(text)
        known["files"] = {name: AppFile(*file) for name, file in known["files"].items()}
        known["recipe"] = AppFile(*known["recipe"])
        return cls(workspace, key, version=version, **known)


class Version(NamedTuple):
    """An app as it is, or was. made_at: Unix time."""

    app: App
    made_at: float


class Apps:
    """Keeps the apps of all workspaces."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._install = Script(redis, "install_app")
        self._uninstall = Script(redis, "uninstall_app")

    async def install(
        self,
        app: App,
        contents: Mapping[str, bytes],
        recipe: Mapping[str, Any],
        *,
        after: int | None = None,
    ) -> App:
        """Put an app in its place as its newest version; return it, with its number.

        contents: of files, by their names; those that an earlier version has may be missing.
        recipe: what it was made of. after: the number of the version that it takes the place of.
        Conflict when that is not the present one any more; TooLarge.
        """
        made_of = json.dumps(recipe).encode() if recipe else b""
        app = replace(app, recipe=AppFile(len(made_of), _digest(made_of)))
        held = {app.files[name].digest: content for name, content in contents.items()}
        return await self._put(app, {**held, app.recipe.digest: made_of}, after=after)

    async def restore(self, old: App, owner: str) -> App:
        """Make a version that is kept the newest one; NotFound, TooLarge."""
        return await self._put(replace(old, owner=owner), {}, again=old.version)

    async def _put(
        self,
        app: App,
        contents: Mapping[str, bytes],
        *,
        after: int | None = None,
        again: int | None = None,
    ) -> App:
        await self._redis.sadd(self._keys.app_workspaces(), app.workspace)
        made_of = {file.digest: file.size for file in (*app.files.values(), app.recipe)}
        args: list[Word] = [app.key, app.to_json(), APPS, APPS_SIZE, APP_VERSIONS]
        args += ["" if after is None else after, "" if again is None else again]
        args += [secrets.token_hex(8), _listed(made_of.items())]
        args += [word for item in contents.items() for word in item]
        outcome, number = await self._install(self._keys_of(app.workspace, app.key), args)
        await self._redis.sadd(self._keys.app_workspaces(), app.workspace)  # if it was forgotten
        _check_installed(outcome, app)
        return replace(app, version=number)

    def _keys_of(self, workspace: str, key: str) -> list[str]:
        keys = self._keys
        return [keys.apps(workspace), keys.app(workspace, key), keys.app_sizes(workspace)]

    async def find(self, workspace: str, key: str) -> App | None:
        text = await self._redis.hget(self._keys.apps(workspace), key)
        return _numbered(workspace, key, text) if text is not None else None

    async def get(self, workspace: str, key: str) -> App:
        """An app by its id in its workspace; NotFound."""
        app = await self.find(workspace, key)
        if app is None:
            raise NotFound(f"Application not found: {workspace}/{key}")
        return app

    async def of_workspace(self, workspace: str) -> list[App]:
        """All apps of a workspace, by name."""
        found = await self._redis.hgetall(self._keys.apps(workspace))
        apps = [_numbered(workspace, key.decode(), text) for key, text in found.items()]
        return sorted(apps, key=lambda app: (app.name, app.key))

    async def version(self, app: App, number: int) -> App:
        """A version of an app that is kept; NotFound."""
        held = self._keys.app(app.workspace, app.key)
        text = await self._redis.hget(held, f"version:{number}")
        if text is None:
            raise NotFound(f"The app {app.id} has no version {number}, or not any more.")
        return App.from_json(app.workspace, app.key, text, number)

    async def versions(self, app: App) -> list[Version]:
        """All versions of an app that are kept, the newest first."""
        held = self._keys.app(app.workspace, app.key)
        numbers = range(app.version, max(0, app.version - APP_VERSIONS), -1)
        names = [name for each in numbers for name in (f"version:{each}", f"made:{each}")]
        found = await self._redis.hmget(held, *names)
        return [
            Version(App.from_json(app.workspace, app.key, text, number), float(made_at))
            for number, text, made_at in zip(numbers, found[::2], found[1::2], strict=True)
            if text is not None and made_at is not None
        ]

    async def content(self, app: App, name: str) -> bytes:
        """What is in a file of an app; NotFound."""
        return await self._content(app, app.files[name], name)

    async def recipe(self, app: App) -> dict[str, Any]:
        """What it was made of."""
        recipe: dict[str, Any] = json.loads(await self._content(app, app.recipe, "its recipe"))
        return recipe

    async def _content(self, app: App, file: AppFile, name: str) -> bytes:
        held = self._keys.app(app.workspace, app.key)
        content = await self._redis.hget(held, f"content:{file.digest}")
        if content is None:
            raise NotFound(f"File not found: {app.id}/{name}")
        return content

    async def uninstall(self, workspace: str, key: str) -> None:
        await self._uninstall(self._keys_of(workspace, key), [key])

    # Tickets, by which a page gets the files of its app without a token.

    async def issue_ticket(self, app: App) -> str:
        """A secret that opens the files of a version of an app, for some time."""
        ticket = secrets.token_urlsafe(24)
        opens = f"{app.version} {app.id}"
        await self._redis.set_for(self._keys.app_ticket(_digest_of(ticket)), opens, _TICKET_LIFE)
        return ticket

    async def opens(self, ticket: str, app_id: str) -> int | None:
        """The number of the version of an app whose files a ticket opens; None if it opens none."""
        found = await self._redis.get(self._keys.app_ticket(_digest_of(ticket)))
        number, _, opened = (found or b"").decode().partition(" ")
        return int(number) if opened == app_id else None

    async def workspaces(self) -> list[str]:
        """The workspaces that have apps, or had."""
        return sorted(
            name.decode() for name in await self._redis.smembers(self._keys.app_workspaces())
        )

    async def forget(self, workspace: str) -> None:
        """Remove all apps of a workspace."""
        for key in await self._redis.hkeys(self._keys.apps(workspace)):
            await self.uninstall(workspace, key.decode())
        await self._redis.srem(self._keys.app_workspaces(), workspace)
        if await self._redis.hlen(self._keys.apps(workspace)):  # somebody has installed one
            await self._redis.sadd(self._keys.app_workspaces(), workspace)


def _numbered(workspace: str, key: str, text: bytes) -> App:
    """An app as listings have it: its number, then what is known of it."""
    number, _, known = text.partition(b" ")
    return App.from_json(workspace, key, known, int(number))


def _listed(sizes: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{size}:{digest}" for digest, size in sizes)


def _check_installed(outcome: bytes, app: App) -> None:
    if outcome == b"changed":
        raise Conflict(f"The app {app.id} was changed meanwhile; look at it, and try again.")
    if outcome == b"gone":
        raise NotFound(f"The app {app.id} has no such version any more.")
    if outcome == b"bytes":
        raise TooLarge(
            f"The apps of a workspace have at most {APPS_SIZE} bytes together; uninstall one."
        )
    if outcome == b"apps":
        raise TooLarge(f"A workspace has at most {APPS} apps; uninstall one of {app.workspace}.")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of(ticket: str) -> str:
    return _digest(ticket.encode(errors="surrogatepass"))
