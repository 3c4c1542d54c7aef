"""How much of the hub one user, or one address, may use: counted over all gateways."""

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cachetools

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import TooMany
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.limits import SERVICE_UNIT
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.rates import Rate, Rates
from hypha_cluster.registry.tallies import Tally
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.connection import Connection
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

_EXCHANGE: Final = 1.0  # seconds between two exchanges with the other gateways
_SAID: Final = 10.0  # seconds within which a limit is logged once for the same subject
_MANY_SAID: Final = 1_000  # subjects for which that is remembered
_COUNTED_AGAIN: Final = 60.0  # seconds after which somebody with too many is told to try again
_MINUTE: Final = 60.0
_DAY: Final = 86_400.0
_AT_ONCE: Final = 10.0  # seconds; what may be used in them may also be used at once
USER: Final = "user"
ADDRESS: Final = "address"


@dataclass(frozen=True, slots=True)
class Terms:
    """How much may be used; 0 is no limit. traffic, mail: bytes.

    kept_for: seconds for which Redis keeps the services of a suspended client, and its mail.
    """

    admissions_a_minute: int = 0
    connections: int = 0
    services: int = 0
    workspaces_a_day: int = 0
    frames_a_second: int = 0
    traffic_a_second: int = 0
    mail: int = 0
    requests_a_second: int = 0
    kept_for: float = 0.0


class Kept(NamedTuple):
    """The services of a suspended client. until: when its place is gone, by the clock of Quotas."""

    subjects: Sequence[str]
    many: int
    until: float


class MailAllowance:
    """The Allowance (relay/allowance.py) of one client."""

    __slots__ = ("_quotas", "_subjects", "spent")

    def __init__(self, quotas: "Quotas", subjects: Sequence[str], spent: Collection[str]) -> None:
        self._quotas = quotas
        self._subjects = subjects
        self.spent = spent

    def refusal(self) -> TooMany | None:
        return self._quotas.mail_refusal(self._subjects)

    def spend(self, size: int) -> None:
        self._quotas.mailed(self._subjects, size)


class Quotas:
    """Says whether a subject may have more; TooMany if not.

    A subject is a user, with all who have tokens of theirs, or an address. tallies: of connections
    and services. source_of: the name under which an address counts; '' for one that does not count.
    """

    def __init__(
        self,
        terms: Terms,
        rates: Rates,
        tallies: tuple[Tally, Tally],
        source_of: Callable[[str], str],
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept_for = terms.kept_for
        self._clock = clock
        self._kept: dict[str, Kept] = {}  # by the address of the client; the oldest first
        self._rates = rates
        self._connections, self._services = tallies
        self._source_of = source_of
        self._counts = counts
        self._said: cachetools.TTLCache[tuple[str, str], bool]
        self._said = cachetools.TTLCache(_MANY_SAID, _SAID)
        self._admissions = _rate("admissions", terms.admissions_a_minute, _MINUTE, _MINUTE)
        self._workspaces = _rate("workspaces", terms.workspaces_a_day, _DAY, _DAY)
        self._frames = _rate("frames", terms.frames_a_second, 1.0, _AT_ONCE)
        self._traffic = _rate("traffic", terms.traffic_a_second, 1.0, _AT_ONCE)
        self._requests = _rate("requests", terms.requests_a_second, 1.0, _AT_ONCE)
        self._mail = Rate("mail", terms.mail / max(terms.kept_for, 1.0), max(terms.kept_for, 1.0))
        self._spent: dict[str, float] = {}  # subjects that put too much into mailboxes → until when

    async def run(self) -> None:
        """Exchange with the other gateways, and go on doing so."""
        while True:
            await asyncio.sleep(_EXCHANGE)
            self.give_up_places()
            await self._rates.exchange()
            await self._connections.exchange()
            await self._services.exchange()

    # Subjects.

    def sources(self, scope: Mapping[str, Any]) -> Sequence[str]:
        """The subjects of a request with this ASGI scope, before its user is known."""
        client = scope.get("client")
        source = client and self._source_of(client[0])
        return [f"{ADDRESS} {source}"] if source else ()

    def subjects(self, identity: Identity, sources: Sequence[str] = ()) -> Sequence[str]:
        """The subjects of a user who comes from these sources."""
        family = identity.family
        return () if family == ROOT.id else [f"{USER} {family}", *sources]

    # What comes and goes.

    def admit(self, subjects: Iterable[str]) -> None:
        """Somebody wants to connect."""
        self._require(self._admissions, subjects)

    def enter(self, subjects: Iterable[str]) -> None:
        """A connection of theirs begins."""
        self._require_room(self._connections, subjects, 1)
        for each in subjects:
            self._connections.change(each, 1)

    def wait(self, subjects: Sequence[str]) -> None:
        """Count a client that is put off like a connection; so many may be put off, and no more."""
        self._require_room(self._connections, subjects, 1 - self._connections.limit)
        for each in subjects:
            self._connections.change(each, 1)

    def leave(self, subjects: Iterable[str]) -> None:
        """A connection of theirs does not begin after all, or one that was put off is over."""
        for each in subjects:
            self._connections.change(each, -1)

    def gone(self, connection: Connection, *, keeps_place: bool = False) -> None:
        """A connection is over. keeps_place: its client may come back, and has its services."""
        if connection.offered and keeps_place:
            self.came_back(connection.address)
            until = self._clock() + self._kept_for
            kept = Kept(connection.subjects, connection.offered, until)
            self._kept[connection.address] = kept
        elif connection.offered:
            self._offered(connection, 0)
        for each in connection.subjects:
            self._connections.change(each, -1)

    def came_back(self, address: str) -> None:
        """A client that was suspended here is back: its services count where it is now."""
        if (kept := self._kept.pop(address, None)) is not None:
            for each in kept.subjects:
                self._services.change(each, -kept.many)

    def give_up_places(self) -> None:
        """Stop counting what Redis does not keep any more; to be called now and then."""
        now = self._clock()
        for each in [each for each, until in self._spent.items() if until <= now]:
            del self._spent[each]
        over = itertools.takewhile(lambda each: each[1].until < now, self._kept.items())
        for address, _ in list(over):
            self.came_back(address)

    def offer(self, connection: Connection, services: Infos) -> None:
        """A client wants to have these services in all; TooMany if it may not."""
        many = _counted(services)
        if many > connection.offered:
            self._require_room(self._services, connection.subjects, many - connection.offered)
        self._offered(connection, many)

    def offered(self, connection: Connection, services: Infos) -> None:
        """A client has these services now: those of before when it comes, none when it goes."""
        self._offered(connection, _counted(services))

    def _offered(self, connection: Connection, many: int) -> None:
        if many == connection.offered:
            return
        for each in connection.subjects:
            self._services.change(each, many - connection.offered)
        connection.offered = many

    async def make_workspace(self, subjects: Iterable[str]) -> None:
        """Somebody wants to make a workspace."""
        if self._workspaces.per_second:
            for each in subjects:
                if wait := await self._rates.take(self._workspaces, each):
                    raise self._too_many(self._workspaces, each, wait)

    # Frames.

    def pace(self, subjects: Iterable[str], frames: int, size: int) -> float:
        """Somebody has sent so much; return for how many seconds to read nothing more of theirs."""
        waits = [0.0]
        for rate, amount in ((self._frames, frames), (self._traffic, size)):
            if rate.per_second:
                for each in subjects:
                    waits.append(self._rates.charge(rate, each, amount))
                    if waits[-1]:
                        self._say(rate.name, each)
        return max(waits)

    # Mail for suspended clients.

    def allowance(self, subjects: Sequence[str]) -> Allowance:
        """What a client may put into mailboxes."""
        is_bounded = subjects and self._mail.per_second
        return MailAllowance(self, subjects, self._spent) if is_bounded else UNBOUNDED

    def mailed(self, subjects: Iterable[str], size: int) -> None:
        """Somebody has put so many bytes into a mailbox."""
        for each in subjects:
            if wait := self._rates.charge(self._mail, each, size):
                self._spent[each] = self._clock() + wait
                self._say(self._mail.name, each)

    def mail_refusal(self, subjects: Iterable[str]) -> TooMany | None:
        """Why somebody may put nothing into a mailbox now; None if they may."""
        now = self._clock()
        for each in subjects:
            if (until := self._spent.get(each, now)) > now:
                seconds = math.ceil(until - now)
                most = self._mail.per_second * self._mail.ahead
                return TooMany(
                    f"{_whose(each)} has put too much into mailboxes of suspended clients: "
                    f"{most:,.0f} bytes in {self._mail.ahead:.0f} s may be, on all gateways; "
                    f"try again in {seconds} s.",
                    seconds,
                )
        return None

    # HTTP requests.

    def request(self, subjects: Iterable[str], size: int = 0) -> None:
        """Somebody asks over HTTP, with a body of so many bytes."""
        self._require(self._requests, subjects)
        self.body(subjects, size)

    def body(self, subjects: Iterable[str], size: int) -> None:
        """A request, which is counted already, has a body of so many bytes."""
        if size:
            self._require(self._traffic, subjects, size)

    def _require(self, rate: Rate, subjects: Iterable[str], amount: float = 1.0) -> None:
        if rate.per_second:
            for each in subjects:
                if wait := self._rates.ask(rate, each, amount):
                    raise self._too_many(rate, each, wait)

    def _require_room(self, tally: Tally, subjects: Iterable[str], more: int) -> None:
        unit = f" of {SERVICE_UNIT:,} bytes" if tally is self._services else ""
        for each in subjects:
            if not tally.has_room(each, more):
                self._say(tally.name, each)
                raise TooMany(
                    f"{_whose(each)} may have {tally.limit:,} {tally.name}{unit}, on all gateways; "
                    f"end some, and try again in {_COUNTED_AGAIN:.0f} s.",
                    _COUNTED_AGAIN,
                )

    def _too_many(self, rate: Rate, subject: str, wait: float) -> TooMany:
        self._say(rate.name, subject)
        text = f"Too many {rate.name}: {_whose(subject).lower()} may have {_spoken(rate)}, on all "
        seconds = math.ceil(wait)
        return TooMany(f"{text}gateways; try again in {seconds} s.", seconds)

    def _say(self, limit: str, subject: str) -> None:
        """Note that a limit was hit, once in a while for each."""
        self._counts.limits_hit[limit] += 1
        if (limit, subject) not in self._said:
            self._said[limit, subject] = True
            audit.note(Event.LIMIT_HIT, limit=limit, subject=subject)
            _log.warning("The limit of %s is hit by %s.", limit, subject)


def keep_counting(quotas: Quotas, supervisor: Supervisor) -> Tasks:
    """Have the quotas exchange with the other gateways until the returned tasks are stopped."""
    tasks = Tasks(supervisor)
    tasks.keep("limits", quotas.run)
    return tasks


def _counted(services: Infos) -> int:
    """How many services these are, if each has so many bytes at most; larger ones are several."""
    return max(len(services), sum(map(len, services.values())) // SERVICE_UNIT)


def _rate(name: str, amount: int, seconds: float, ahead: float) -> Rate:
    return Rate(name, amount / seconds, ahead)


def _spoken(rate: Rate) -> str:
    for seconds, unit in ((_DAY, "a day"), (_MINUTE, "a minute")):
        if rate.ahead == seconds:
            return f"{rate.per_second * seconds:,.0f} {unit}"
    return f"{rate.per_second:,.0f} a second"


def _whose(subject: str) -> str:
    return "This user" if subject.startswith(f"{USER} ") else "This address"
