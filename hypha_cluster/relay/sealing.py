"""Makes the seal of a client: who its target sees as the sender of a frame."""

from typing import Any

from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.envelope import Seal


def seal_of(address: str, identity: Identity, dialect: Dialect) -> Seal:
    """The seal for all that a client sends."""
    everywhere = dialect.seal(address, identity.to_wire())
    elsewhere = identity.seen_in("")
    if elsewhere == identity:
        return everywhere
    return _ScopedSeal(everywhere, dialect.seal(address, elsewhere.to_wire()), identity)


class _ScopedSeal(Seal):
    """The seal of an admin's child, which shows the role of admin inside of its scopes only.

    Services may trust the roles of a caller.
    """

    __slots__ = ("_identity", "_inside", "_outside")

    def __init__(self, inside: Seal, outside: Seal, identity: Identity) -> None:
        self.source = inside.source
        self._inside, self._outside = inside, outside
        self._identity = identity

    def call(self, envelope: dict[str, Any], body: bytes | memoryview) -> bytes:
        return self._for(envelope["to"]).call(envelope, body)

    def message(self, envelope: dict[str, Any]) -> bytes:
        return self._for(envelope["to"]).message(envelope)

    def _for(self, target: str) -> Seal:
        is_admin = self._identity.is_admin_in(workspace_of(target))
        return self._inside if is_admin else self._outside
