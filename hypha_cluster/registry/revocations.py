"""Revocations in Redis, which every gateway follows into a book of its own."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.revocation import Kind, Revocation, RevocationBook
from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_log = logging.getLogger(__name__)

_VERSION: Final = "version"
_NOTHING_READ: Final = -1  # in the place of a version


@dataclass(frozen=True, eq=False, slots=True)
class _Watch:
    """Somebody does something that ends when their token is revoked."""

    identity: Identity
    workspace: str
    scope: asyncio.Timeout

    def look(self, book: RevocationBook) -> None:
        if book.has_lost(self.identity, self.workspace):
            self.scope.reschedule(asyncio.get_running_loop().time())


class Revocations:
    """Notes revocations for all gateways, and keeps what this one knows of them in `book`.

    A counter in Redis says whether there is something new. It is read so often that within a second
    what one gateway revoked holds at none, even if no event gets through.
    """

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.revoked()
        self._revoke = Script(redis, "revoke")
        self._known: dict[str, Revocation] = {}
        self._own: set[Revocation] = set()  # that are being noted here
        self._version = _NOTHING_READ
        self._watches: set[_Watch] = set()
        self.book = RevocationBook()

    @property
    def version(self) -> int:
        """The version of the book; it is another one when the book has changed."""
        return self._version

    async def load(self) -> None:
        """Bring the book up to date."""
        version = int(await self._redis.hget(self._key, _VERSION) or 0)
        if version == self._version:
            return
        if version < self._version:
            await self._restore()
        fields = await self._redis.hgetall(self._key)
        is_first = self._version == _NOTHING_READ
        self._version = int(fields.pop(_VERSION.encode(), 0))
        self._know({name.decode(): value for name, value in fields.items()}, is_first=is_first)

    def _know(self, fields: dict[str, bytes], *, is_first: bool) -> None:
        entries = (_revocation(name, value) for name, value in fields.items())
        known = {entry.key: entry for entry in entries if entry.until > time.time()}
        if not is_first:
            self._tell_of(set(known.values()) - set(self._known.values()) - self._own)
        self._known = known
        self.book.replace(self._known)
        for watch in self._watches:
            watch.look(self.book)

    @staticmethod
    def _tell_of(learned: Iterable[Revocation]) -> None:
        """Note in the audit log what other gateways, or commands, have revoked."""
        for each in learned:
            audit.note(Event.REVOCATION_LEARNED, what=each.kind, name=each.name)

    @contextlib.asynccontextmanager
    async def holding(self, identity: Identity, workspace: str) -> AsyncIterator[None]:
        """End what is done meanwhile with InvalidToken when this gateway learns of a revocation.

        identity: who does it; workspace: where.
        """
        scope = asyncio.timeout(None)
        watch = _Watch(identity, workspace, scope)
        try:
            async with scope:
                self._watches.add(watch)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise InvalidToken("The token has been revoked; get a new one.") from None
        finally:
            self._watches.discard(watch)

    async def _restore(self) -> None:
        """Write again what Redis has lost and this gateway knows: what was revoked stays so."""
        _log.warning("Redis has lost the revocations; %d are noted again.", len(self._known))
        await settled([self._noted(entry) for entry in self._known.values()])

    async def note(self, revocation: Revocation) -> None:
        """Revoke, on all gateways; a later revocation that is noted already stays."""
        known = self._known.get(revocation.key)
        if known is not None and known.before >= revocation.before:
            return
        self._own.add(revocation)
        try:
            await self._noted(revocation)
            audit.note(Event.REVOKED, what=revocation.kind, name=revocation.name)
            await self.load()
        finally:
            self._own.discard(revocation)

    async def lift(self, kind: Kind, name: str) -> None:
        """Take a revocation back; single tokens that were revoked stay revoked."""
        await self._revoke(keys=[self._key], args=["", "", f"{kind}:{name}"])
        audit.note(Event.LIFTED, what=kind, name=name)
        await self.load()

    def _noted(self, revocation: Revocation) -> Reply[int]:
        over = [entry.key for entry in self._known.values() if entry.until <= time.time()]
        value = json.dumps([revocation.before, revocation.until])
        return self._revoke(keys=[self._key], args=[revocation.key, value, *over])


def _revocation(name: str, value: bytes) -> Revocation:
    kind, _, of = name.partition(":")
    before, until = json.loads(value)
    return Revocation(Kind(kind), of, before, until)
