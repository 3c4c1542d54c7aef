"""The pages of instances: whose they are, who lets them in, and which files they get.

Only gateways do this: they ask for an instance, and say by a seal who its page will be.
"""

import hmac
import random
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from hypha_cluster.errors import Conflict, InvalidToken, TooMany
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.identity.tokens import is_page_of_app
from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.limits import APP_INSTANCES
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.encoding import flatten
from hypha_cluster.registry.instance import ACTIVE, OVER, State, Wanted, files_secret
from hypha_cluster.registry.instances import HISTORY, LEASE, Instances, ticket_digest
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_TICKET_LIFE: Final = 60.0  # seconds
_LONGEST_MOVE: Final = 3_600.0  # seconds
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")

# Chooses one of several addresses.
Choose = Callable[[Sequence[str]], str]


class InstancePages:
    """Asks for instances, and knows their pages as long as they are wanted."""

    def __init__(
        self, redis: RedisClient, keys: Keys, seals: PageSeals, instances: Instances
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._seals = seals
        self._instances = instances
        self._ask = Script(redis, "ask_instance")
        self._admit = Script(redis, "admit_instance")
        self._release = Script(redis, "release_app")

    async def ask(
        self, wanted: Wanted, *, shared: bool, choose: Choose = random.choice
    ) -> tuple[str, bool]:
        """Ask for an instance; return its address, and whether it is new.

        shared: an instance of the app that is there will do; `choose` says which. Conflict when the
        client id is in use; TooMany when the workspace has too many instances.
        """
        address, keys = f"{wanted.workspace}/{wanted.client}", self._keys
        if await self._redis.exists(keys.client(address)):
            raise _taken(wanted.client)
        outcome, *clients = await self._ask(
            keys=[
                keys.instances(),
                keys.instance(address),
                keys.instances_of(wanted.workspace),
                keys.shared_instances(wanted.workspace),
                keys.ended_instances(wanted.workspace),
                keys.instance_history(address),
                keys.watched_instances(),
                keys.entered_states(),
                keys.page(address),
            ],
            args=[
                wanted.workspace,
                wanted.client,
                wanted.app,
                int(shared),
                keys.instance(),
                APP_INSTANCES,
                secrets.token_hex(8),
                *HISTORY,
                wanted.scale.most,
                self._seals.seal(wanted.user),
                files_secret(),
                *flatten(wanted.fields()),
            ],
        )
        if outcome == b"taken":
            raise _taken(wanted.client)
        if outcome == b"full":
            raise TooMany(
                f"A workspace has at most {APP_INSTANCES} instances of apps; stop one of "
                f"{wanted.workspace} first.",
                LEASE,
            )
        found = sorted(f"{wanted.workspace}/{client.decode()}" for client in clients)
        return choose(found), outcome == b"asked"

    async def admit(self, address: str, token: str) -> Identity:
        """Who the page of an instance is; InvalidToken unless its ticket holds."""
        keys = self._keys
        user = await self._admit(
            [keys.instance(address), keys.instance_history(address), keys.page(address)],
            [ticket_digest(token), secrets.token_hex(8), int(_TICKET_LIFE * 1000), *HISTORY],
        )
        if user is None:
            raise InvalidToken("This ticket is for the page of an app, for a minute, and once.")
        try:
            admitted = self._seals.open(user, workspace_of(address))
            if admitted.expires_at is not None and admitted.expires_at <= time.time():
                raise InvalidToken("The token by which the app was started has expired.")
        except InvalidToken as error:
            await self.bar(address, str(error))
            raise
        return admitted

    async def bar(self, address: str, because: str) -> None:
        """The page of an instance may never come in: it is not begun again and again."""
        instance = await self._instances.find(address)
        if instance is None:
            return
        keys = self._keys
        kept = [keys.kept_apps(), keys.kept_app(instance.app_id), keys.page(address)]
        await self._release(kept, [instance.app_id])
        await self._instances.end(address, because=because)

    async def planned_move(self, address: str) -> tuple[float, str] | None:
        """How many seconds the page before may go on answering; the service that the next offers.

        Its runner stops. None if that page is not to be waited for.
        """
        leaves, service = await self._redis.hmget(
            self._keys.instance(address), "moving", "wait_for"
        )
        seconds = _seconds(leaves)
        return (seconds, (service or b"").decode()) if seconds else None

    async def comes_again(self, attachment: Attachment) -> bool:
        """Whether a client may come back: not a page whose instance was stopped, or has failed."""
        return await self.may_return(attachment.address, attachment.identity)

    async def may_return(self, address: str, identity: Identity) -> bool:
        """The same, for somebody who brings a reconnection token for an address."""
        if not is_page_of_app(identity):
            return True
        state, user = await self._about(address)
        return state in ACTIVE and user == identity.id

    async def is_over(self, attachment: Attachment) -> bool:
        """Whether a client is the page of an instance that no runner has any more."""
        if not is_page_of_app(attachment.identity):
            return False
        state, user = await self._about(attachment.address)
        if state is None or state in OVER:
            return True
        # While it is stopping, its runner closes the page.
        return state is not State.STOPPING and user != attachment.identity.id

    async def _about(self, address: str) -> tuple[State | None, str | None]:
        """The state of an instance; and the id of its page's user, as long as it is wanted."""
        # The user first, who goes with the state that ends: else a page that is just stopping
        # would look like another one's.
        asked = (self._keys.page(address), "user"), (self._keys.instance(address), "state")
        user, state = await settled([self._redis.hget(*each) for each in asked])
        known = State(state.decode()) if state is not None else None
        try:
            return known, self._seals.open(user, workspace_of(address)).id if user else None
        except InvalidToken:
            return known, None

    async def opens(self, ticket: str, app_id: str) -> int | None:
        """Of which version of an app the ticket of a page opens the files; None if of none."""
        secret, number, client = (*ticket.split(".", 2), "", "")[:3]
        address = f"{workspace_of(app_id)}/{client}"
        state = await self._redis.hget(self._keys.instance(address), "state")
        app, files = await self._redis.hmget(self._keys.page(address), "app", "files")
        if state is None or app is None or files is None or not _VERSION.fullmatch(number):
            return None
        is_meant = f"{workspace_of(app_id)}/{app.decode()}" == app_id
        is_open = hmac.compare_digest(files, secret.encode(errors="surrogatepass"))
        return int(number) if is_meant and is_open and State(state.decode()) in ACTIVE else None


def _seconds(text: bytes | None) -> float:
    """What a runner has written, in ms, but not more than there may be."""
    return min(int(text) / 1000, _LONGEST_MOVE) if text and text.isdigit() else 0.0


def _taken(client: str) -> Conflict:
    return Conflict(f"A client {client!r} is there already; choose another client_id.")
