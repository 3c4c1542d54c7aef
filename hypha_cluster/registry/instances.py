"""Instances of apps: which there are, who runs them, and what each of them is doing.

Every change is one script that looks at the state and the epoch first. An epoch is one attempt to
run an instance, by one runner; what a runner of an earlier epoch says changes nothing any more.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import NotFound
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.address import client_of, workspace_of
from hypha_cluster.protocol.limits import APP_ENDS, APP_HISTORY
from hypha_cluster.registry.encoding import flatten
from hypha_cluster.registry.instance import (
    HELD,
    OVER,
    WAITING,
    Instance,
    State,
)
from hypha_cluster.registry.instance_history import Step, read_steps
from hypha_cluster.registry.instance_logs import KINDS
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

LEASE: Final = 10.0  # seconds; then an instance is taken by another runner
REMEMBERED: Final = 86_400.0  # seconds for which the end of an instance is known
TICKET: Final = "hypha-app-"  # what the token of a page begins with
HISTORY: Final = (APP_HISTORY, int(REMEMBERED * 1000))  # changes, and ms
_LOOKED_AT: Final = 1_000  # instances that one script looks at


class Change(NamedTuple):
    """What came of changing an instance; state: None when nothing is known of it."""

    is_done: bool
    state: State | None
    epoch: int


class Tally(NamedTuple):
    """What there is in the whole cluster.

    states: how many instances are in each. used, free: slots of runners. entered: how often an
    instance has come into each state.
    """

    states: dict[str, int]
    used: int
    free: int
    runners: int
    entered: dict[str, int]


class Instances:
    """Changes and reads the instances of all workspaces.

    with_pages: the note on the page of an instance goes when the instance is not wanted any more.
    Runners have no right to these notes, and leave them to gateways.
    """

    def __init__(self, redis: RedisClient, keys: Keys, *, with_pages: bool = True) -> None:
        self._with_pages = with_pages
        self._redis = redis
        self._keys = keys
        self._take = Script(redis, "take_instances")
        self._change = Script(redis, "change_instance")
        self._count = Script(redis, "count_instances")

    async def find(self, address: str) -> Instance | None:
        fields = await self._redis.hgetall(self._keys.instance(address))
        return Instance.of(address, fields) if fields else None

    async def get(self, address: str) -> Instance:
        """The instance at an address; NotFound."""
        found = await self.find(address)
        if found is None:
            raise NotFound(f"Server app instance not found: {client_of(address)}")
        return found

    async def history(self, address: str) -> list[Step]:
        """What has become of an instance, the oldest change first."""
        return await read_steps(self._redis, self._keys.instance_history(address))

    async def of_workspace(self, workspace: str) -> list[Instance]:
        """All that are known, also those that are over."""
        members = await self._redis.smembers(self._keys.instances_of(workspace))
        return await self._read(f"{workspace}/{client.decode()}" for client in sorted(members))

    async def all(self) -> list[Instance]:
        return await self._read(await self.addresses())

    async def addresses(self) -> list[str]:
        """The addresses of all instances."""
        members = await self._redis.zrange(self._keys.instances())
        return sorted(member.decode() for member in members)

    async def _read(self, addresses: Iterable[str]) -> list[Instance]:
        asked = [(each, self._redis.hgetall(self._keys.instance(each))) for each in addresses]
        return [Instance.of(each, fields) for each, reply in asked if (fields := await reply)]

    async def runners(self) -> list[str]:
        """Those that were there a moment ago."""
        return [name.decode() for name in await self._redis.zrange(self._keys.runners())]

    # For who changes one.

    async def change(
        self,
        address: str,
        states: frozenset[State],
        state: State,
        *,
        due: float = 0.0,
        epoch: int | None = None,
        call: str = "",
        **fields: str,
    ) -> Change:
        """Change an instance that is in one of some states, and of an epoch if one is given.

        due: seconds from now, after which it is looked at. call: what names this very change, so
        that it is done once, however often it is asked for because its answer was lost.
        """
        done, now, current = await self._change(
            keys=[
                self._keys.instance(address),
                self._keys.instances(),
                self._keys.probes(),
                self._keys.ended_instances(workspace_of(address)),
                self._keys.instance_history(address),
                self._keys.watched_instances(),
                self._keys.entered_states(),
                *((self._keys.page(address),) if self._with_pages else ()),
            ],
            args=[
                address,
                "" if epoch is None else epoch,
                "".join(f"{each}," for each in sorted(states)),
                state,
                int(due * 1000),
                call or secrets.token_hex(8),
                APP_ENDS,
                *HISTORY,
                *flatten(fields),
            ],
        )
        return Change(bool(done), State(now.decode()) if now else None, int(current or 0))

    async def forget(self, address: str) -> None:
        """Stop an instance; once it is over, forget its record and its log, too."""
        ended = await self.end(address, forgotten="1")
        if ended.state in OVER:
            await self.change(address, OVER, ended.state)
        elif ended.state is State.STOPPING:
            stopping = frozenset((State.STOPPING,))
            await self.change(address, stopping, State.STOPPING, due=LEASE, forgotten="1")

    async def end(self, address: str, *, because: str = "", **fields: str) -> Change:
        """Stop an instance; it counts as failed if there is a reason, else as stopped."""
        state = State.FAILED if because else State.STOPPED
        while True:
            ended = await self.change(
                address, WAITING, state, due=REMEMBERED, epoch=None, reason=because, **fields
            )
            if ended.is_done or ended.state not in HELD:
                return ended
            ended = await self.change(
                address,
                HELD,
                State.STOPPING,
                due=LEASE,
                epoch=None,
                then=str(state),
                reason=because,
                **fields,
            )
            if ended.is_done or ended.state not in WAITING:
                return ended

    async def see_to(self, runner: str = "", free: int = 0) -> list[str]:
        """Pass on instances of lost runners; take some, and return them.

        Without a runner, those that are over are forgotten, too.
        """
        keys = self._keys
        taken: Sequence[bytes] = await self._take(
            keys=[
                keys.instances(),
                keys.runners(),
                keys.taken(runner),
                keys.entered_states(),
                keys.free_slots(),
            ],
            args=[
                runner,
                free,
                int(LEASE * 1000),
                int(REMEMBERED * 1000),
                keys.instance(),
                keys.instances_of(),
                keys.shared_instances(),
                _LOOKED_AT,
                keys.ended_instances(),
                secrets.token_hex(8),
                keys.instance_history(),
                *HISTORY,
                keys.page(),
                *(keys.instance_log("", kind) for kind in KINDS),
            ],
        )
        return [address.decode() for address in taken]

    async def leave(self, runner: str) -> None:
        """A runner is there no more."""
        await self._redis.zrem(self._keys.runners(), runner)
        await self._redis.hdel(self._keys.free_slots(), runner)
        await self._redis.delete(self._keys.taken(runner))

    async def count(self) -> Tally:
        """How many instances there are, and how many more the runners would take."""
        keys = self._keys
        states, used, free, runners, entered = await self._count(
            [keys.instances(), keys.runners(), keys.free_slots(), keys.entered_states()],
            [keys.instance()],
        )
        return Tally(_numbers(states), int(used), int(free), int(runners), _numbers(entered))

    # For its page.

    async def issue_ticket(self, instance: Instance) -> str | None:
        """A token that lets the page of an instance in, once, within a minute of its start.

        None when another runner has the instance by now.
        """
        token = TICKET + secrets.token_urlsafe(24)
        changed = await self.change(
            instance.address,
            frozenset((State.STARTING,)),
            State.STARTING,
            due=LEASE,
            epoch=instance.epoch,
            ticket=ticket_digest(token),
        )
        return token if changed.is_done else None


def ticket_digest(token: str) -> str:
    """What is kept of the token that lets a page in."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _numbers(pairs: Sequence[Any]) -> dict[str, int]:
    """Read what a script returns as names and numbers in turn."""
    return {name.decode(): int(many) for name, many in zip(pairs[::2], pairs[1::2], strict=True)}
