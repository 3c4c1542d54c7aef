"""A client's life on this node: attached, suspended, gone (docs/architecture.md).

Two things have a state each. A *connection* has its stage here (relay/connection.py), a *client*
has its record in Redis (registry/claim.lua, suspend.lua, leave.lua):

| client    | its connection            | frames for it           | calls of it                  |
|-----------|---------------------------|-------------------------|------------------------------|
| online    | ARRIVING: mail comes first| wait for the mail       | -                            |
| online    | LIVE                      | are sent                | are noted                    |
| suspended | SET_ASIDE, in a drain     | go to its mailbox       | are noted                    |
| any       | CLOSING, it was told to go| go to its mailbox       | are noted                    |
| suspended | GONE, or none             | go to its mailbox       | its next node inherits them  |
| away      | none, past its `patience` | calls are rejected      | the same                     |
| gone      | none                      | nobody is there         | nobody waits for the answers |

So *away* is later than *suspended*: callers are told at once and need not wait, yet the client
keeps its place until `--reconnect-grace` is over. While its connection is CLOSING, the client stays
online.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hypha_cluster import audit, log_fields
from hypha_cluster.audit import Event
from hypha_cluster.clients.admission import Admission, Claims
from hypha_cluster.clients.handover import Handover, Request
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.moves import PlannedMoves
from hypha_cluster.clients.places import Places, Relay
from hypha_cluster.clients.presence import Presence
from hypha_cluster.errors import ClientLeft, Conflict, HubError
from hypha_cluster.identity.tokens import is_page_of_app
from hypha_cluster.protocol.limits import (
    AWAY_AFTER,
    HEARING,
    PAGE_AWAY_AFTER,
    SETTLING,
)
from hypha_cluster.registry.clients import Attachment, Claim, ClientRegistry, Previous
from hypha_cluster.relay.connection import Clock, Connection, Offer, Speech, Stage, Way
from hypha_cluster.relay.sockets import Socket
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

LEAVING: Final = (1000, 1001)  # close codes by which a client says that it will not be back
# With any other code, releases up to 0.5.31 would open one more connection, oust this one by that,
# and so on for ever.
SUPERSEDED: Final = 1000
_SENT_AWAY: Final = (Stage.SET_ASIDE, Stage.CLOSING)
GOING_AWAY: Final = 1012  # every release of the client comes back after it (protocol.md 1.4)


class Records(NamedTuple):
    """What Redis and the other nodes know of clients, and how they are told."""

    registry: ClientRegistry
    claims: Claims
    presence: Presence
    mail: Mail
    handover: Handover


@dataclass(frozen=True, slots=True)
class Terms:
    """The name of this node, how many bytes a message in chunks may have, and a clock."""

    node: str
    max_message_size: int
    clock: Clock = time.monotonic


class ClientLife:
    """Attaches clients to this node, and detaches them."""

    def __init__(
        self,
        records: Records,
        relay: Relay,
        places: Places,
        moves: PlannedMoves,
        terms: Terms,
        supervisor: Supervisor,
    ) -> None:
        self._registry, self._claims, self._presence, self._mail, self._handover = records
        self._listener, self._connections, self._delivery = relay[:3]
        self._counts = relay.counts
        self._places = places
        self._moves = moves
        self._terms = terms
        self._detaching = Tasks(supervisor)
        self._handing_over = Tasks(supervisor)

    async def attach(
        self,
        admission: Admission,
        socket: Socket,
        accept: Callable[[], Awaitable[None]],
        way: Way,
    ) -> Connection:
        """Take the address, subscribe, accept; then deliver what waited, then go live.

        Raises Conflict when another client has the address, RedisUnavailable when Redis is away.
        """
        connection = Connection(
            self._claims.attachment(
                admission, PAGE_AWAY_AFTER if way.refresh_after else AWAY_AFTER
            ),
            socket,
            speech=Speech(admission.dialect, self._terms.max_message_size),
            way=way,
            share=admission.share,
            clock=self._terms.clock,
        )
        self._connections.expect(connection)
        try:
            claim = await self._claims.claim(connection.attachment, admission)
            connection.claimed(claim.services, _offer(admission, claim))
            if admission.move is not None:
                connection.wait_for(admission.move.service)
                await self._moves.wait_for_answers(
                    connection.address, claim.previous, admission.move.patience
                )
            elif admission.takes and claim.resumed:
                self._presence.announce_replacement(connection.address)
            async with self._places.lock(connection.address):
                self._moves.follow(connection, is_new=admission.takes)
                await self._open(connection, claim, accept, admission)
        except BaseException:
            await self._abandon(connection)
            raise
        self._counts.attached += 1
        _note(connection.attachment)
        self._counts.resumed += claim.resumed
        _log.info("%s %s.", connection.address, "is back" if claim.resumed else "is attached")
        return connection

    async def _open(
        self,
        connection: Connection,
        claim: Claim,
        accept: Callable[[], Awaitable[None]],
        admission: Admission,
    ) -> None:
        if connection.stage is Stage.CLOSING:  # another node has its address already
            if claim.previous is not None:
                await self._end_overtaken(connection.address, claim.previous)
            await accept()
            self._note_ousted(connection)
            connection.socket.close(SUPERSEDED, "attached elsewhere")
            return
        unseen = await self._end_previous(connection, admission)
        try:
            if claim.previous is not None and admission.move is None:
                await self._obtain(connection.address, claim.previous)
            await self._listener.join(connection.address)
            await self._registry.noted(claim)
            await accept()
            await self._go_live(connection, unseen, is_back=claim.resumed)
        except BaseException:
            connection.waiting_from_bus[:0] = unseen  # which goes back with what has come since
            raise

    async def _end_overtaken(self, address: str, previous: Previous) -> None:
        """End the one before a connection that was overtaken: nobody else knows of it."""
        here = self._connections.held_by(previous.holder)
        if here is not None:
            await self._yield(here)
        else:
            await self._obtain(address, previous)

    async def _end_previous(self, connection: Connection, admission: Admission) -> list[bytes]:
        """End the client's connection before this one, if it is here.

        Returns what that may not have brought to the client, then what still waited for that.
        """
        previous = self._connections.attach(connection)
        if previous is None:
            return []
        self._oust(previous)
        await self._hear_out(previous)
        if admission.takes:  # else the old page, which is the client no longer, would be heard
            previous.socket.abort()
        unseen = previous.take_unseen()
        from_bus, local = previous.take_waiting()
        # This one may be about to wait for the very node that waits for that one.
        self._handover.gave_way(previous.attachment.holder)
        return [*unseen, *from_bus, *local]

    async def _abandon(self, connection: Connection) -> None:
        """Undo what was done for a connection that could not be attached."""
        connection.enter(Stage.GONE)
        if not self._connections.has(connection):
            self._connections.forget(connection)
            return
        async with self._places.lock(connection.address):
            await self._end(connection, has_left=False)

    async def _go_live(
        self, connection: Connection, unseen: Sequence[bytes], *, is_back: bool
    ) -> None:
        """Fetch the mailbox once every earlier frame is in it or has come here; then go live.

        unseen: what a connection before this one may not have brought to the client.
        """
        address = connection.address
        if is_back:
            mail = await self._collect_after_echo(connection)
        else:
            mail = await self._mail.collect(address)
        self._delivery.go_live(connection, [*unseen, *mail])

    async def _collect_after_echo(self, connection: Connection) -> list[bytes]:
        address = connection.address
        mail, echo = await asyncio.gather(
            self._mail.collect(address), self._listener.echoed(address), return_exceptions=True
        )
        if isinstance(mail, BaseException):
            raise mail
        if isinstance(echo, BaseException):
            connection.waiting_from_bus[:0] = mail  # which goes back with what has come since
            raise echo
        return mail

    async def _obtain(self, address: str, previous: Previous) -> None:
        if previous.node != self._terms.node:
            await self._handover.obtain(address, previous.holder, previous.node)

    def refused(self, error: HubError) -> None:
        """Somebody was not let in, or is put off."""
        self._counts.refusals[type(error).__name__] += 1
        audit.note(Event.REFUSED, reason=str(error), client=log_fields.client.get())

    def keeps_place(self, connection: Connection, code: int) -> bool:
        """Whether a client whose connection ends with this close code keeps its place."""
        return self._connections.has(connection) and not _has_left(connection, code)

    def detach_soon(self, connection: Connection, code: int) -> None:
        """Detach a connection that nobody waits for."""
        self._detaching.spawn("detach", self.detach(connection, code), detail=connection.address)

    async def stop(self) -> None:
        """Wait until all connections that are over are detached."""
        await self._handing_over.stop()
        await self._detaching.settled()

    async def detach(self, connection: Connection, code: int) -> None:
        """A connection is over; the client left if it said so, else its place is kept."""
        has_left = _has_left(connection, code)
        if not connection.routed.is_set():
            if not connection.is_ending:
                connection.enter(Stage.CLOSING)  # what comes for it goes to its mailbox
            await connection.routed.wait()
        connection.enter(Stage.GONE)
        try:
            async with self._places.lock(connection.address):
                await self._end(connection, has_left=has_left)
        finally:
            if connection.socket.tail is not None:
                connection.take_unseen()  # if nobody has

    async def _end(self, connection: Connection, *, has_left: bool) -> None:
        if not self._connections.detach(connection):
            self._connections.forget(connection)
            return  # a newer connection of the same client has its place, here or elsewhere
        try:
            await self._places.vacate(connection)
        finally:  # whatever went wrong, Redis must not say that the client is here
            if has_left:
                await self._presence.leave(connection.attachment)
            else:
                await self._presence.suspend(connection.attachment)

    def cut_off(self, connection: Connection) -> None:
        """End the connection of a client that was told to go and does not."""
        self._counts.cut_off += 1
        connection.socket.abort()

    async def expel(self, connection: Connection) -> None:
        """Remove a client that may not be here, even if it does not answer the close."""
        async with self._places.lock(connection.address):
            connection.close(SUPERSEDED, "not admitted any more")
            await self._end(connection, has_left=True)
        await asyncio.sleep(HEARING)
        connection.socket.abort()

    async def run(self) -> None:
        """Give up addresses that other nodes have by now, for as long as this node lives."""
        while True:
            request = await self._handover.requests.get()
            self._handing_over.spawn("hand over", self._hand_over(request), detail=request.address)

    async def _hand_over(self, request: Request) -> None:
        try:
            await self._give_up(request)
        finally:
            self._handover.forget(request)

    async def _give_up(self, request: Request) -> None:
        connection = self._connections.held_by(request.holder)
        if request.patience:
            await self._moves.let_answer(connection, request)
        elif connection is not None and connection.stage in _SENT_AWAY:
            await self._hear_out(connection)
        async with self._places.lock(request.address):  # wait for a detach already in progress
            if connection is not None:
                await self._yield(connection)
        if connection is not None:
            await self._hear_out(connection)
        self._handover.gave_way(request.holder)
        if connection is not None and connection.stage is Stage.CLOSING:
            await self._cut_off_replaced(connection)

    async def _cut_off_replaced(self, connection: Connection) -> None:
        """Cut off the page of an app whose instance runs in another page by now."""
        if not is_page_of_app(connection.attachment.identity):
            return
        program = await self._registry.program_of(connection.address)
        if program not in ("", connection.attachment.program):
            connection.socket.abort()

    async def _hear_out(self, connection: Connection) -> None:
        """Wait for the end of a connection that was told to go: frames may still be on their way.

        Frames on the new connection must not overtake those. And a page that sees the end of its
        old connection *after* the start of the new one drops the new one.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.gone.wait(), HEARING)
            if connection.refresh_after:
                await asyncio.sleep(SETTLING)

    async def _yield(self, connection: Connection) -> None:
        """Leave the address to another connection of the client, without losing a frame."""
        if self._connections.detach(connection):
            self._oust(connection)
            await self._places.vacate(connection)

    async def reassert(self) -> None:
        """Say again who is attached here and what they offer: Redis may have lost it."""
        for connection in self._connections:
            async with self._places.lock(connection.address):
                if connection.stage is Stage.LIVE:
                    await self._reassert(connection)

    async def _reassert(self, connection: Connection) -> None:
        try:
            await self._presence.assert_again(connection)
        except (Conflict, ClientLeft):
            await self._yield(connection)

    def _oust(self, connection: Connection) -> None:
        """The client has a newer connection: end this one, but leave the client's record alone."""
        self._note_ousted(connection)
        connection.close(SUPERSEDED, "attached elsewhere")

    def _note_ousted(self, connection: Connection) -> None:
        address = connection.address
        _log.info(
            "%s is attached anew; its old connection ends.", address, extra={"client": address}
        )
        self._counts.ousted += 1


def _note(attachment: Attachment) -> None:
    user = attachment.identity
    about = {"user": user.id, "email": user.email, "maker": user.parent}
    audit.note(Event.ADMITTED, client=attachment.address, **about)


def _offer(admission: Admission, claim: Claim) -> Offer:
    if admission.takes:
        return Offer.AWAITED
    return Offer.FORGOTTEN if admission.program and not claim.resumed else Offer.KNOWN


def _has_left(connection: Connection, code: int) -> bool:
    return code in LEAVING and connection.stage is not Stage.CLOSING
