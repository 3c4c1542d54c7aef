"""Tells Redis and the other nodes about the clients here (docs/architecture.md).

If Redis is away when there is something to tell, it is told later. If Redis comes back empty, or
loses a part, everything is told again.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.services import Services
from hypha_cluster.relay.bus import Publisher
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.events import ENDED, LEFT, MISJUDGED, write_event

_log = logging.getLogger(__name__)

SAMPLE: Final = 5  # clients that are looked up in Redis at a time

Tell = Callable[[Attachment], Awaitable[None]]


def departure(address: str) -> bytes:
    """The event that a client is gone for good: calls to it end now."""
    return write_event(LEFT, address)


async def _comes_again(attachment: Attachment) -> bool:
    return True


class Presence:
    """Suspends clients and has them leave, in Redis and for the other nodes.

    grace: seconds for which a suspended client keeps its place. comes_again: whether a client may
    come back at all; the page of a stopped app may not.
    """

    def __init__(
        self,
        registry: ClientRegistry,
        services: Services,
        publisher: Publisher,
        counts: Counts,
        grace: float,
        comes_again: Callable[[Attachment], Awaitable[bool]] = _comes_again,
    ) -> None:
        self._registry = registry
        self._services = services
        self._publisher = publisher
        self._counts = counts
        self._grace = grace
        self._comes_again = comes_again
        # What Redis may not know yet of each connection, the latest alone; by holder.
        self._untold: dict[str, tuple[Attachment, Tell]] = {}

    async def suspend(self, attachment: Attachment) -> None:
        """A client is suspended."""
        await self._tell(attachment, self._suspend)

    async def leave(self, attachment: Attachment) -> None:
        """A client has left for good."""
        await self._tell(attachment, self._leave)

    def suspend_later(self, attachment: Attachment) -> None:
        """The same, for when Redis is back."""
        self._untold[attachment.holder] = (attachment, self._suspend)

    async def _tell(self, attachment: Attachment, tell: Tell) -> None:
        holder, entry = attachment.holder, (attachment, tell)
        self._untold.pop(holder, None)  # so that it comes last the next time
        self._untold[holder] = entry  # until it is known to be told
        try:
            await tell(attachment)
        except RedisUnavailable as error:
            _log.info("The end of %s is not told yet: %s", attachment.address, error)
        else:
            if self._untold.get(holder) is entry:
                del self._untold[holder]

    async def tell_again(self) -> None:
        """Tell Redis what it could not be told before; to be called now and then."""
        untold = list(self._untold.values())
        # All at once, so that a part of Redis that is away does not hold up the others.
        await asyncio.gather(*(self._tell(attachment, tell) for attachment, tell in untold))

    async def _suspend(self, attachment: Attachment) -> None:
        address = attachment.address
        if not await self._comes_again(attachment):
            await self._leave(attachment)
            return
        done = await self._registry.suspend(address, holder=attachment.holder, grace=self._grace)
        if done:
            self._counts.suspended += 1
            _log.info("%s is suspended.", address, extra={"client": address})

    async def _leave(self, attachment: Attachment) -> None:
        address = attachment.address
        if await self._registry.leave(address, attachment.holder):
            self._counts.left += 1
            _log.info("%s has left.", address, extra={"client": address})

    def announce_misjudgement(self, node: str) -> None:
        """Tell a node that was taken to be dead to say again who is attached to it."""
        self._publisher.announce(write_event(MISJUDGED, node))

    def announce_end(self, node: str) -> None:
        """Tell all that a node is gone, so that calls to the node itself end now."""
        self._publisher.announce(write_event(ENDED, node))

    def announce_replacement(self, address: str) -> None:
        """Tell all that another program has the address: the old one will answer no call."""
        self._publisher.announce(departure(address))

    async def are_known(self, connections: Connections) -> bool:
        """Whether Redis knows the clients here, by a sample; to be called now and then."""
        picked = random.sample(list(connections), min(SAMPLE, len(connections)))
        some = [each for each in picked if each.stage is Stage.LIVE]
        holders = await self._registry.holders([each.address for each in some])
        return all(
            holder is not None or connection.stage is not Stage.LIVE
            for connection, holder in zip(some, holders, strict=True)
        )

    async def assert_again(self, connection: Connection) -> None:
        """Say again that a client is here, and what it offers.

        Raises Conflict or ClientLeft when it is another connection's by now.
        """
        async with connection.registering:  # a registration in between comes after this
            claim = await self._registry.claim(connection.attachment, ClaimMode.ASSERT)
            await self._registry.noted(claim)
            await self._services.register(connection.attachment, connection.services)
