"""Who may attach, and how they come to have their address."""

import itertools
import secrets
from typing import NamedTuple

from hypha_cluster.clients.presence import Presence
from hypha_cluster.errors import Conflict, Replaced, StillOnline
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.registry.clients import Attachment, Claim, ClaimMode, ClientRegistry
from hypha_cluster.relay.connection import UNCOUNTED, Share


class Move(NamedTuple):
    """A page of an app takes the place of another one, whose runner stops.

    patience: seconds in which that one may still answer what it was asked.
    service: until the new page offers it, calls wait.
    """

    patience: float
    service: str


class Admission(NamedTuple):
    """A client that may attach.

    program: the program that had the address, if this client has proved to be the same.
    takes: whether it ousts a client of the same user that has the address (the page of an app whose
    instance runs anew). move: how, if that was planned, so that no call is to be lost.
    dialect: what it speaks.
    """

    identity: Identity
    workspace: Workspace
    client: str
    program: str = ""
    takes: bool = False
    move: Move | None = None
    dialect: Dialect = IMJOY
    share: Share = UNCOUNTED


class Claims:
    """Claims addresses for the clients of a node."""

    def __init__(
        self, registry: ClientRegistry, presence: Presence, calls: HubCalls, node: str
    ) -> None:
        self._registry = registry
        self._presence = presence
        self._calls = calls
        self._node = node
        # So that holders of a node that is started again under its name differ from those before.
        self._epoch = secrets.token_hex(4)
        self._serial = itertools.count(1)

    def attachment(self, admission: Admission, patience: float) -> Attachment:
        """A client that wants the address. patience: seconds until it is *away*."""
        workspace = admission.workspace
        return Attachment(
            address=f"{workspace.name}/{admission.client}",
            client=admission.client,
            workspace=workspace,
            identity=admission.identity,
            holder=f"{self._node}#{self._epoch}.{next(self._serial)}",
            node=self._node,
            program=admission.program or secrets.token_hex(8),
            patience=patience,
        )

    async def claim(self, attachment: Attachment, admission: Admission) -> Claim:
        """Get the address; Conflict when another client has it, RedisUnavailable."""
        mode = ClaimMode.RESUME if admission.program else ClaimMode.NEW
        if admission.takes:
            mode = ClaimMode.TAKE
        try:
            return await self._claim_unless_taken(attachment, mode)
        except Conflict:
            raise
        except BaseException:
            # The claim may have been made all the same, and nobody else would undo it.
            self._presence.suspend_later(attachment)
            raise

    async def _claim_unless_taken(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        try:
            return await self._registry.claim(attachment, mode)
        except Replaced:
            raise
        except Conflict as conflict:
            # The client that has the address may be leaving, or be gone although nobody noticed.
            if await self._calls.is_alive(attachment.address):
                raise
            is_own = isinstance(conflict, StillOnline)
            return await self._registry.claim(attachment, ClaimMode.TAKE if is_own else mode)
