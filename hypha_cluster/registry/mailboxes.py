"""Mailboxes: frames for clients that are suspended.

relay/publisher.py fills them, by deliver.lua. A script that takes something out of them is sent
again when its reply is lost, so each call has a ticket, by which the script recognizes it.
"""

import itertools
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import MAILBOXES, MAILBOXES_AT_ONCE
from hypha_cluster.registry.apart import apart
from hypha_cluster.registry.deadlines import Deadlines
from hypha_cluster.registry.encoding import batches
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

CALL: Final = b"1"  # the mark of a frame whose sender can be told that it came to nothing
OTHER: Final = b"0"


class Marked(NamedTuple):
    """A frame with its mark."""

    mark: bytes
    frame: bytes


class Mailboxes:
    """Takes frames out of mailboxes, and puts them back. lifetime: of frames there, in seconds."""

    def __init__(self, redis: RedisClient, keys: Keys, lifetime: float) -> None:
        self._redis = redis
        self._keys = keys
        self._lifetime = lifetime
        self._away = Deadlines(redis, keys.away())
        prefix = secrets.token_hex(8)
        self._take = Script(redis, "take_mail")
        self._put_back = Script(redis, "put_back")
        self._give_up = Script(redis, "give_up")
        self._tickets = (f"{prefix}{number}" for number in itertools.count())
        # Of mail that may have been taken although its reply was lost: its ticket → the address.
        self._lost: dict[str, str] = {}

    async def take(self, address: str) -> list[bytes]:
        """Take the frames that waited for a client, in their order, once it has joined the bus.

        If this fails, `recover` puts back what it may have taken.
        """
        if not await self._redis.exists(self._keys.mail(address)):
            return []  # none will come any more either, since the client is heard now
        ticket = self._ticket(address)
        try:
            frames: list[bytes] = await self._take(keys=[*self._box(address), ticket])
        except BaseException:
            self._lost[ticket] = address
            raise
        return frames

    async def recover(self) -> list[tuple[str, list[Marked]]]:
        """Put back what was taken by commands whose replies were lost, as `put_back` does.

        Returns frames for which there is nobody, by their address.
        """
        rejected = []
        for ticket, address in list(self._lost.items()):
            frames = [Marked(each[:1], each[1:]) for each in await self._redis.lrange(ticket)]
            rejected.append((address, await self.put_back(address, frames, f"{ticket}-back")))
            await self._redis.delete(ticket)
            self._lost.pop(ticket, None)
        return rejected

    async def put_back(
        self, address: str, frames: Sequence[Marked], ticket: str = ""
    ) -> list[Marked]:
        """Put frames before all that came since; return those for which there is nobody.

        They are older than what is in the mailbox. Whoever hears the address by now gets them.
        ticket: that of an earlier attempt at the same.
        """
        if not frames:
            return []
        outcomes = await self._put_back(
            keys=[
                self._keys.client(address),
                *self._box(address),
                ticket or self._ticket(address),
            ],
            args=[
                self._keys.channel(address),
                int(self._lifetime * 1000),
                *(mark + frame for mark, frame in frames),
            ],
        )
        return [each for each, outcome in zip(frames, outcomes, strict=False) if not outcome]

    async def give_up_calls(self) -> list[tuple[str, list[bytes]]]:
        """Calls that wait for clients which have been away for too long, by their address."""
        due = await self._away.take(MAILBOXES)
        groups = self._redis.by_slot(due.addresses, self._keys.client)
        given_up = await apart(
            "Calls to clients that stay away",
            (
                self._give_up_some(some, due.time)
                for group in groups
                for some in batches(group, MAILBOXES_AT_ONCE)
            ),
        )
        return [each for some in given_up for each in some]

    async def _give_up_some(
        self, addresses: Sequence[str], time: int
    ) -> list[tuple[str, list[bytes]]]:
        """The same for clients in one slot. time: of each in the list of those away, in ms."""
        answers = await self._give_up(
            keys=[
                key
                for address in addresses
                for key in (self._keys.client(address), *self._box(address), self._ticket(address))
            ]
        )
        given_up = []
        for address, calls in zip(addresses, answers, strict=True):
            if isinstance(calls, int):  # the server of its workspace says that it is too early
                await self._away.put({address: calls})
            elif calls:
                given_up.append((address, calls))
        await self._away.done(dict.fromkeys(addresses, time))
        return given_up

    def _ticket(self, address: str) -> str:
        return self._keys.mail_ticket(address, next(self._tickets))

    def _box(self, address: str) -> tuple[str, str]:
        return self._keys.mail(address), self._keys.mail_size(address)
