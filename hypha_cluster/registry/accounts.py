"""The accounts that the hub keeps, and invitations to choose a password."""

import hashlib
import json
import secrets
from dataclasses import replace
from typing import Final, NamedTuple

from hypha_cluster.errors import Conflict, InvalidToken, NotFound
from hypha_cluster.identity.accounts import Account
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

ADMIN: Final = "admin"
INVITATION_LIFETIME: Final = 86_400_000  # ms
_ONCE: Final = 20_000  # ms; gateways that start together tell it once


class Invitation(NamedTuple):
    """What its bearer may do once: choose a password for `account`, or make one with `roles`."""

    account: str
    roles: tuple[str, ...] = ()


class Accounts:
    """Keeps accounts; their names are ids of users, so they own the workspaces of these names."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._both = [keys.accounts(), keys.account_names()]
        self._add = Script(redis, "add_account")
        self._change = Script(redis, "change_account")

    async def find(self, name_or_email: str) -> Account | None:
        """An account by its name or its e-mail address."""
        name = name_or_email
        if "@" in name:
            found = await self._redis.hget(self._keys.account_names(), name.lower())
            if found is None:
                return None
            name = found.decode()
        kept = await self._redis.hget(self._keys.accounts(), name)
        return None if kept is None else Account.from_json(kept)

    async def all(self) -> list[Account]:
        """All accounts, by name."""
        kept = await self._redis.hgetall(self._keys.accounts())
        return sorted(map(Account.from_json, kept.values()), key=lambda account: account.name)

    async def add(self, account: Account) -> None:
        """Make an account; Conflict when its name or its address is another one's."""
        await self._check_workspace(account)
        args = [account.name, account.email.lower(), account.to_json()]
        outcome = (await self._add(keys=self._both, args=args)).decode()
        if outcome == "name":
            raise Conflict(f"There is a user {account.name} already.")
        if outcome == "address":
            raise Conflict(f"Another user has the e-mail address {account.email}.")
        # So that nobody makes a workspace of this name before its user first comes.
        identity = json.dumps(account.identity().to_wire())
        await self._redis.hset(self._keys.user(account.name), {"identity": identity})

    async def _check_workspace(self, account: Account) -> None:
        """Refuse a name that a workspace has: its user would become the owner of that."""
        key = self._keys.workspace(account.name)
        owners = json.loads(await self._redis.hget(key, "owners") or "[]")
        is_theirs = account.name in owners or account.email in owners
        if not is_theirs and await self._redis.exists(key):
            raise Conflict(f"There is a workspace {account.name} already; choose another name.")

    async def set_password(self, name: str, password: str) -> Account:
        """Change the hash of an account's password; NotFound."""
        while True:
            account = await self._get(name)
            changed = replace(account, password=password)
            if await self._put(account, changed.to_json()):
                return changed

    async def remove(self, name: str) -> Account:
        """Forget an account; its workspaces stay. NotFound."""
        while True:
            account = await self._get(name)
            if await self._put(account, ""):
                return account

    async def _get(self, name: str) -> Account:
        account = await self.find(name)
        if account is None:
            raise NotFound(f"There is no user {name!r}.")
        return account

    async def _put(self, before: Account, after: str) -> bool:
        args = [before.name, before.email.lower(), before.to_json(), after]
        return bool(await self._change(keys=self._both, args=args))

    # Invitations.

    async def invite(self, invitation: Invitation, secret: str = "") -> str:
        """A secret that lets its bearer do this once, within a day; by default a new one."""
        secret = secret or secrets.token_urlsafe(24)
        key, value = self._invitation(secret), json.dumps(invitation)
        await self._redis.set_for(key, value, INVITATION_LIFETIME)
        return secret

    async def invited(self, secret: str) -> Invitation:
        """What a secret is for; InvalidToken when it is none, or was used, or is too old."""
        kept = await self._redis.get(self._invitation(secret))
        if kept is None:
            raise InvalidToken("This invitation has been used, or is older than a day.")
        account, roles = json.loads(kept)
        return Invitation(account, tuple(roles))

    async def use_up(self, secret: str) -> bool:
        """Remove an invitation; say whether it was still there."""
        return bool(await self._redis.delete(self._invitation(secret)))

    async def invite_first(self) -> str | None:
        """The secret of an invitation to become the first admin.

        None if there are accounts, or if another gateway has told it a moment ago.
        """
        if await self._redis.hlen(self._keys.accounts()):
            return None
        if not await self._redis.set_if_new(told := self._keys.told("first invitation"), ""):
            return None
        await self._redis.pexpire(told, _ONCE)
        kept = await self._redis.get(self._keys.first_invitation())
        if kept is not None and await self._redis.exists(self._invitation(kept.decode())):
            return kept.decode()
        secret = await self.invite(Invitation("", (ADMIN,)))
        key = self._keys.first_invitation()
        await self._redis.set_for(key, secret, INVITATION_LIFETIME)
        return secret

    def _invitation(self, secret: str) -> str:
        return self._keys.invitation(hashlib.sha256(secret.encode()).hexdigest())
