"""Apps that are installed in workspaces: what is known of each, and its files."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Self

from hypha_cluster.errors import NotFound, TooLarge
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APPS, APPS_SIZE
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_RECIPE: Final = "~recipe"  # no file of an app has a name like this
_TICKET_LIFE: Final = 3_600_000  # ms


class AppFile(NamedTuple):
    """One file of an app. digest: sha2-256 of its content, in hexadecimal digits."""

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class App:
    """An installed app.

    key: its id in its workspace. version: how often it was installed under this id. probes: how it
    says that it is ready, and well.
    """

    workspace: str
    key: str
    manifest: dict[str, Any]
    files: dict[str, AppFile]
    owner: str
    version: int
    probes: dict[str, Any]

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
        known = asdict(self)
        del known["workspace"], known["key"]
        return json.dumps(known)

    @classmethod
    def from_json(cls, workspace: str, key: str, text: bytes) -> Self:
        known = json.loads(text)
        known["files"] = {name: AppFile(*file) for name, file in known["files"].items()}
        return cls(workspace, key, **known)


class Apps:
    """Keeps the apps of all workspaces."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._install = Script(redis, "install_app")
        self._uninstall = Script(redis, "uninstall_app")

    async def install(
        self, app: App, contents: Mapping[str, bytes], recipe: Mapping[str, Any]
    ) -> None:
        """Put an app in its place, and in that of one of the same id.

        recipe: what it was made of, to make it anew.
        """
        contents = {**contents, _RECIPE: json.dumps(recipe).encode()}
        await self._redis.sadd(self._keys.app_workspaces(), app.workspace)
        keys = [
            self._keys.apps(app.workspace),
            self._keys.app_files(app.workspace, app.key),
            self._keys.app_sizes(app.workspace),
        ]
        files = [word for item in contents.items() for word in item]
        bounds = [APPS, app.size, APPS_SIZE]
        outcome = await self._install(keys, [app.key, app.to_json(), *bounds, *files])
        await self._redis.sadd(self._keys.app_workspaces(), app.workspace)  # if it was forgotten
        if outcome == b"bytes":
            raise TooLarge(
                f"The apps of a workspace have at most {APPS_SIZE} bytes together; uninstall one."
            )
        if outcome == b"apps":
            raise TooLarge(
                f"A workspace has at most {APPS} apps; uninstall one of {app.workspace}."
            )

    async def find(self, workspace: str, key: str) -> App | None:
        text = await self._redis.hget(self._keys.apps(workspace), key)
        return App.from_json(workspace, key, text) if text is not None else None

    async def get(self, workspace: str, key: str) -> App:
        """The same; NotFound."""
        app = await self.find(workspace, key)
        if app is None:
            raise NotFound(f"Application not found: {workspace}/{key}")
        return app

    async def of_workspace(self, workspace: str) -> list[App]:
        """All apps of a workspace, by name."""
        found = await self._redis.hgetall(self._keys.apps(workspace))
        apps = [App.from_json(workspace, key.decode(), text) for key, text in found.items()]
        return sorted(apps, key=lambda app: (app.name, app.key))

    async def content(self, app: App, name: str) -> bytes:
        """What is in a file of an app; NotFound."""
        content = await self._redis.hget(self._keys.app_files(app.workspace, app.key), name)
        if content is None:
            raise NotFound(f"File not found: {app.id}/{name}")
        return content

    async def recipe(self, app: App) -> dict[str, Any]:
        """What it was made of."""
        recipe: dict[str, Any] = json.loads(await self.content(app, _RECIPE))
        return recipe

    async def uninstall(self, workspace: str, key: str) -> None:
        keys = self._keys
        files, sizes = keys.app_files(workspace, key), keys.app_sizes(workspace)
        await self._uninstall([keys.apps(workspace), files, sizes], [key])

    # Tickets, by which a page gets the files of its app without a token.

    async def issue_ticket(self, app_id: str) -> str:
        """A secret that opens the files of an app, for some time."""
        ticket = secrets.token_urlsafe(24)
        await self._redis.set_for(self._keys.app_ticket(_digest(ticket)), app_id, _TICKET_LIFE)
        return ticket

    async def prolong_ticket(self, ticket: str) -> None:
        """Have it open them for as long again."""
        await self._redis.pexpire(self._keys.app_ticket(_digest(ticket)), _TICKET_LIFE)

    async def opens(self, ticket: str, app_id: str) -> bool:
        """Whether a ticket is for the files of an app."""
        found = await self._redis.get(self._keys.app_ticket(_digest(ticket)))
        return found is not None and found.decode() == app_id

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


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()
