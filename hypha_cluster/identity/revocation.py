"""What holds no longer: single tokens, all of a user's so far, all for a workspace so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple, Self

from hypha_cluster.errors import BadRequest, InvalidToken
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.protocol.limits import NAME, TOKEN_LIFETIME

FOR_GOOD: Final = 1e12  # Unix time; no token is made later
KICKING: Final = 60.0  # seconds; every gateway looks within them


class Kind(StrEnum):
    """Of what tokens are revoked."""

    TOKEN = "token"
    USER = "user"
    WORKSPACE = "workspace"
    CLIENT = "client"  # no token: the connection of one client


class Revocation(NamedTuple):
    """One entry: `before` and `until` are Unix times.

    before: tokens that were made earlier hold no longer. until: when the entry may be forgotten.
    """

    kind: Kind
    name: str
    before: float
    until: float

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def of_token(cls, token: str, expires_at: float | None, now: float) -> Self:
        """Of one token, by its id, and of all that were made with it."""
        until = now + TOKEN_LIFETIME if expires_at is None else expires_at
        return cls(Kind.TOKEN, _name(token), FOR_GOOD, until)

    @classmethod
    def of_user(cls, user: str, before: float, now: float) -> Self:
        """Of all that a user has had so far, and of the children of those."""
        if user == ROOT.id:
            raise BadRequest("The hub's own user has no tokens.")
        return cls(Kind.USER, _name(user), before, max(before, now) + TOKEN_LIFETIME)

    @classmethod
    def of_workspace(cls, workspace: str, before: float, now: float) -> Self:
        """Of all that name a workspace in their scopes; they hold for others."""
        return cls(Kind.WORKSPACE, _name(workspace), before, max(before, now) + TOKEN_LIFETIME)

    @classmethod
    def of_client(cls, address: str, now: float) -> Self:
        """Of the connection that a client has, not of its token; it is forgotten soon."""
        return cls(Kind.CLIENT, address, now, now + KICKING)


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME:
        raise BadRequest(f"What is revoked has a name of 1 to {NAME} characters.")
    return text


@dataclass(slots=True)
class RevocationBook:
    """All revocations that one gateway knows; asked whenever somebody comes in."""

    _before: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._before)

    def replace(self, revocations: Mapping[str, Revocation]) -> None:
        """Know these from now on, and no others."""
        self._before = {key: revocation.before for key, revocation in revocations.items()}

    def admit(self, identity: Identity) -> Identity:
        """Who somebody is by what still holds; InvalidToken if nothing does."""
        if self.is_revoked(identity):
            raise InvalidToken("The token has been revoked; get a new one.")
        if not identity.scopes or not self._before:
            return identity
        scopes = tuple(s for s in identity.scopes if not self._is_out(Kind.WORKSPACE, s, identity))
        return identity if scopes == identity.scopes else replace(identity, scopes=scopes)

    def shut_out(self) -> list[str]:
        """The users who are let in no more, whatever token they bring."""
        prefix = f"{Kind.USER}:"
        return sorted(
            key.removeprefix(prefix)
            for key, before in self._before.items()
            if key.startswith(prefix) and before >= FOR_GOOD
        )

    def is_revoked(self, identity: Identity) -> bool:
        """Whether what somebody came with holds no longer."""
        if not self._before:
            return False
        origin = identity.origin
        if origin and any(
            f"{Kind.TOKEN}:{t}" in self._before for t in (origin.token, *origin.makers)
        ):
            return True
        users = (identity.id, identity.parent) if identity.parent else (identity.id,)
        return any(self._is_out(Kind.USER, user, identity) for user in users)

    def has_lost(self, identity: Identity, workspace: str) -> bool:
        """Whether somebody has to leave a workspace, since what they came with is revoked."""
        if self.is_revoked(identity):
            return True
        is_by_scope = workspace in identity.scopes
        return is_by_scope and self._is_out(Kind.WORKSPACE, workspace, identity)

    def is_kicked(self, address: str, attached_at: float) -> bool:
        """Whether a client that was attached at that Unix time has to go, whatever its token."""
        return attached_at < self._before.get(f"{Kind.CLIENT}:{address}", 0.0)

    def _is_out(self, kind: Kind, name: str, identity: Identity) -> bool:
        made_at = identity.origin.made_at if identity.origin else 0.0
        return made_at < self._before.get(f"{kind}:{name}", 0.0)
