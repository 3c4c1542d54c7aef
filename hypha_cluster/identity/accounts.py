"""Accounts that a hub keeps itself: a name, an e-mail address, roles, a password."""

import asyncio
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from hypha_cluster.errors import BadRequest
from hypha_cluster.identity.access import PUBLIC, ROOT, Identity
from hypha_cluster.identity.names import check_workspace_name
from hypha_cluster.protocol.limits import LONGEST_PASSWORD, NAME, PASSWORDS, SHORTEST_PASSWORD

_ADDRESS: Final = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """A user whom the hub itself knows. password: as argon2 writes it; empty: nobody can sign in.

    made: Unix time.
    """

    name: str
    email: str
    roles: tuple[str, ...] = ()
    password: str = ""
    made: float = 0.0

    def __post_init__(self) -> None:
        check_account_name(self.name)
        check_email(self.email)

    def identity(self) -> Identity:
        return Identity(self.name, is_anonymous=False, email=self.email, roles=self.roles)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "roles": tuple(fields["roles"])})


def check_account_name(name: str) -> None:
    """The name is the user's id, and that of their workspace."""
    if name in (ROOT.id, PUBLIC) or "@" in name:
        raise BadRequest(f"{name!r} cannot be the name of a user; choose one without '@'.")
    check_workspace_name(name)


def check_email(email: str) -> None:
    if len(email) > NAME or not _ADDRESS.fullmatch(email):
        raise BadRequest(f"{email!r} is no e-mail address.")


def check_password(password: str, account: str) -> None:
    """Check the length, which makes a password hard to guess; no error quotes the password."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise BadRequest(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; this one has "
            f"{len(password)}."
        )
    if password == account or len(set(password)) < 3:
        raise BadRequest("This password is easily guessed; choose another one.")


class Passwords:
    """Hashes passwords with argon2id, some at once: each takes 64 MiB and a tenth of a second."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher()
        self._room = asyncio.Semaphore(PASSWORDS)
        self._nobodys = ""

    async def hashed(self, password: str) -> str:
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, account: Account | None) -> bool:
        """Whether it is an account's; it takes as long when there is no such account."""
        if len(password) > LONGEST_PASSWORD:
            return False
        if account is None or not account.password:
            self._nobodys = self._nobodys or await self.hashed("nobody's")
            await self._verify(self._nobodys, password)
            return False
        return await self._verify(account.password, password)

    async def _verify(self, kept: str, password: str) -> bool:
        async with self._room:
            try:
                return await asyncio.to_thread(self._hasher.verify, kept, password)
            except (VerificationError, InvalidHashError):
                return False
