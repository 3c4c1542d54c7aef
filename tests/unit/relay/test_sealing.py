"""Who the sender of a frame is to its target."""

import pytest

from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.envelope import Seal
from hypha_cluster.relay.sealing import seal_of
from tests.raw_client import call_envelope, unpack

ADMIN = Identity("boss", False, "boss@example.org", roles=("admin", "curator"))
CHILD = Identity("child", roles=("admin", "curator"), parent="boss", scopes=("lab",))


@pytest.mark.parametrize("identity", [ADMIN, Identity("ann"), Identity("x", parent="ann")])
def test_most_senders_are_the_same_to_all(identity: Identity) -> None:
    assert type(seal_of("lab/me", identity, IMJOY)) is Seal


@pytest.mark.parametrize(
    ("target", "roles"),
    [("lab/somebody", ["admin", "curator"]), ("other/somebody", ["curator"])],
)
def test_a_child_of_an_admin_is_one_where_its_token_is_for(target: str, roles: list[str]) -> None:
    seal = seal_of("lab/me", CHILD, IMJOY)

    call = unpack(seal.call(call_envelope(target, "services.a.b"), b""))
    message = unpack(seal.message({"type": "event", "to": target}))

    for received in (call, message):
        assert received.envelope["user"] == CHILD.to_wire() | {"roles": roles}
        assert received.source == seal.source == "lab/me"
