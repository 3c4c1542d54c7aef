"""Workspaces and the users who are known: who owns what, who may enter."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import chain
from typing import Final

import cachetools

from hypha_cluster.errors import BadRequest, Conflict, PermissionDenied, WorkspaceNotFound
from hypha_cluster.identity.access import (
    PUBLIC,
    ROOT,
    Action,
    Identity,
    Workspace,
    may,
)
from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.protocol.limits import READ_WORKSPACES, WORKSPACE_SETTINGS
from hypha_cluster.registry.encoding import flatten, to_json
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.read_cache import ReadCache
from hypha_cluster.registry.regained import Find, at_once
from hypha_cluster.registry.scripts import Script

# A workspace that nobody ever joined must not stay for good.
UNUSED_LIFETIME: Final = 86_400  # seconds

PUBLIC_WORKSPACE: Final = Workspace(
    name=PUBLIC, owners=[ROOT.id], visibility="public", persistent=True, read_only=True
)


_DEFAULTS: Final = {
    field.name: getattr(Workspace(name=""), field.name) for field in fields(Workspace)
}


def to_hash(workspace: Workspace, *, whole: bool = False) -> dict[str, str]:
    """The fields that Redis keeps; whole: defaults too, to replace what was there.

    BadRequest for what is too large, or is no plain data.
    """
    kept = {
        name: to_json(f"{name!r} of a workspace", value)
        for name, default in _DEFAULTS.items()
        if (value := getattr(workspace, name)) != default or whole
    }
    size = sum(map(len, kept.values()))
    if size > WORKSPACE_SETTINGS:
        raise BadRequest(
            f"The settings of a workspace, with its applications, have at most "
            f"{WORKSPACE_SETTINGS} bytes as JSON, not {size}."
        )
    return kept


class Workspaces:
    """Reads and changes workspaces; knows the users that permission depends on."""

    def __init__(self, redis: RedisClient, keys: Keys, find_lost: Find = at_once) -> None:
        self._redis = redis
        self._keys = keys
        self._find_lost = find_lost
        self._make = Script(redis, "make_workspace")
        self._change = Script(redis, "change_workspace")
        self._lately = ReadCache[Workspace | None]()
        self._known_lately = ReadCache[Identity | None]()

    @property
    def are_open(self) -> bool:
        """Whether they can be read at once, as far as is known."""
        return self._redis.is_open

    async def find(self, name: str) -> Workspace | None:
        if name == PUBLIC:
            return PUBLIC_WORKSPACE
        return _workspace(await self._redis.hgetall(self._keys.workspace(name)))

    async def find_for(
        self, identity: Identity, name: str
    ) -> tuple[Workspace | None, Identity | None]:
        """A workspace, and the maker of the token of a user who wants to enter it."""
        if identity.parent in (None, ROOT.id) or name == PUBLIC:
            return await self.find(name), await self.maker_of(identity)
        settings = self._redis.hgetall(self._keys.workspace(name))
        parent = self._redis.hget(self._keys.user(identity.parent), "identity")
        return _workspace(await settings), _identity(await parent)

    async def get(self, name: str) -> Workspace:
        return _found(await self.find(name), name)

    async def create(self, workspace: Workspace) -> None:
        """Make a workspace; Conflict if there is one of this name."""
        keys = [self._keys.workspace(workspace.name)]
        lifetime = "" if workspace.persistent else UNUSED_LIFETIME
        settings = flatten(to_hash(workspace))
        is_made, _ = await settled(
            [
                self._make(keys, [lifetime, *settings]),
                self._redis.sadd(self._keys.workspaces(), workspace.name),
            ]
        )
        if not is_made:
            raise Conflict(f"Workspace {workspace.name} already exists.")
        self._lately.forget(workspace.name)

    async def change(self, name: str, edit: Callable[[Workspace], Workspace]) -> Workspace:
        """Replace the settings of a workspace by what `edit` makes of them; its clients stay.

        `edit` is called again when somebody else has changed the workspace meanwhile.
        """
        if name == PUBLIC:
            raise PermissionDenied(f"Workspace {PUBLIC} is the hub's own and cannot be changed.")
        while (edited := await self._try_to_change(name, edit)) is None:
            pass
        self._lately.forget(name)
        return edited

    async def _try_to_change(
        self, name: str, edit: Callable[[Workspace], Workspace]
    ) -> Workspace | None:
        """Return the changed workspace, None when somebody else was faster."""
        key = self._keys.workspace(name)
        kept = await self._redis.hgetall(key)
        current = _found(_workspace(kept), name)
        edited = edit(current)
        settings = {field.decode(): value for field, value in kept.items()}
        before, after = (to_hash(each, whole=True) for each in (current, edited))
        changes = [
            (field, settings.get(field, ""), value)
            for field, value in after.items()
            if value != before[field]
        ]
        return edited if await self._change([key], list(chain.from_iterable(changes))) else None

    async def names(self) -> list[str]:
        names = await self._redis.smembers(self._keys.workspaces())
        return sorted([PUBLIC, *(name.decode() for name in names)])

    async def known_user(self, user: str) -> Identity | None:
        """Who a user id belongs to, while the hub knows them."""
        if user == ROOT.id:
            return ROOT
        return _identity(await self._redis.hget(self._keys.user(user), "identity"))

    async def know(self, user: Identity) -> None:
        """Note a user, even one who has never connected."""
        identity = json.dumps(user.to_wire())
        await self._redis.hset(self._keys.user(user.id), {"identity": identity})

    async def maker_of(self, identity: Identity) -> Identity | None:
        """Who has made a user's token, while the hub knows them."""
        return await self.known_user(identity.parent) if identity.parent is not None else None

    async def may_enter(self, identity: Identity, workspace: Workspace) -> bool:
        return may(Action.ENTER, identity, workspace, await self.maker_of(identity))

    async def may_use_lately(self, identity: Identity, name: str) -> bool:
        """Whether a user may use what is protected in a workspace, as it was a moment ago."""
        workspace = await self._lately.get(name, "", lambda: self.find(name))
        if workspace is None:
            workspace = _found(await self._find_lost(lambda: self.find(name)), name)
        user, parent = identity.parent, None
        if user is not None and identity.id != name:
            parent = await self._known_lately.get(user, "", lambda: self.known_user(user))
        return may(Action.USE_PROTECTED, identity, workspace, parent)

    async def require(
        self, identity: Identity, name: str, action: Action = Action.ENTER
    ) -> Workspace:
        """The workspace, if the user may do this in it."""
        workspace = await self.get(name)
        if not may(action, identity, workspace, await self.maker_of(identity)):
            raise PermissionDenied(f"Permission denied for workspace {name}.")
        return workspace


def _found(workspace: Workspace | None, name: str) -> Workspace:
    if workspace is None:
        raise WorkspaceNotFound(f"Workspace not found: {name}")
    return workspace


def _workspace(settings: Mapping[bytes, bytes]) -> Workspace | None:
    return _from_hash(tuple(settings.items())) if settings else None


def _identity(user: bytes | None) -> Identity | None:
    return Identity.from_wire(json.loads(user)) if user else None


@cachetools.cached(
    # The cache also keeps its keys, the raw settings, which have the same size.
    cachetools.LRUCache(READ_WORKSPACES, getsizeof=lambda workspace: 2 * len(repr(workspace)))
)
def _from_hash(settings: tuple[tuple[bytes, bytes], ...]) -> Workspace:
    """Read what Redis keeps; most are read again and again, by each client that connects."""
    return Workspace.from_wire({key.decode(): json.loads(value) for key, value in settings})
