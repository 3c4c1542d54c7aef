"""An instance of an app: what it is to be when it is asked for, and what is known of it then."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self

from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import client_of, workspace_of

_PROBE_MARGIN: Final = 5_000  # ms, after which a gateway that probes is taken to be lost


class State(StrEnum):
    """What an instance is doing."""

    PENDING = "pending"  # it waits for a runner
    STARTING = "starting"  # a runner has opened its page, which is not ready yet
    RUNNING = "running"
    BACKOFF = "backoff"  # it has crashed, and starts again in a moment
    STOPPING = "stopping"  # its runner closes the page
    STOPPED = "stopped"
    FAILED = "failed"  # `reason` says why


HELD: Final = frozenset((State.STARTING, State.RUNNING))  # by a runner
WAITING: Final = frozenset((State.PENDING, State.BACKOFF))
OVER: Final = frozenset((State.STOPPED, State.FAILED))
ACTIVE: Final = HELD | WAITING


class ProbeTimes(NamedTuple):
    """When an instance is probed, in seconds: how long after the last, how long one may take."""

    period: float
    delay: float  # of the first
    patience: float


class Scale(NamedTuple):
    """How many instances of an app there are, depending on its calls.

    idle: seconds without a call after which an instance stops, unless only `least` are there; None:
    never. most: how many there may be to share. target: calls that may wait for each before there
    is one more.
    """

    least: int = 0
    most: int = 1
    idle: float | None = None
    target: int = 1


ALONE: Final = Scale()


class Wanted(NamedTuple):
    """An instance that is asked for. user: who its page will be. wait_for: id of a service.

    version: of its app, 0 for the newest whenever it is begun.
    """

    workspace: str
    client: str
    app: str
    name: str
    user: Identity
    wait_for: str
    timeout: float
    probe: ProbeTimes | None = None
    scale: Scale = ALONE
    version: int = 0

    def fields(self) -> dict[str, str]:
        """The fields of its record that are known from its beginning, to runners too."""
        return {
            "name": self.name,
            "family": self.user.family,
            "wait_for": self.wait_for,
            "timeout": str(self.timeout),
            "version": str(self.version),
            **_times_of(self.probe),
            **_fields_of(self.scale),
        }


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as it is known to be at a moment."""

    address: str
    app: str  # its id in its workspace
    name: str
    state: State
    epoch: int
    runner: str
    wait_for: str
    timeout: float
    reason: str
    restarts: int  # in a row
    restarted_since: float  # Unix time of the first of them
    probe_failures: int  # in a row
    probe_restarts: int
    has_run: bool
    service: str  # the name of what it offers
    then: State  # what it is when it has stopped
    changed: float  # Unix time
    asked: float  # Unix time
    files: str  # the secret by which its page gets its files
    version: int  # of its app, 0 for the newest

    @property
    def workspace(self) -> str:
        return workspace_of(self.address)

    @property
    def client(self) -> str:
        return client_of(self.address)

    @property
    def app_id(self) -> str:
        return f"{self.workspace}/{self.app}"

    @classmethod
    def of(cls, address: str, fields: Mapping[bytes, bytes]) -> Self:
        known = {key.decode(): value.decode() for key, value in fields.items()}
        return cls(
            address=address,
            app=known["app"],
            name=known["name"],
            state=State(known["state"]),
            epoch=int(known["epoch"]),
            runner=known.get("runner", ""),
            wait_for=known["wait_for"],
            timeout=float(known["timeout"]),
            reason=known.get("reason", ""),
            restarts=int(known.get("restarts", 0)),
            restarted_since=float(known.get("restarted_since", 0)),
            probe_failures=int(known.get("probe_failures", 0)),
            probe_restarts=int(known.get("probe_restarts", 0)),
            has_run=bool(known.get("has_run")),
            service=known.get("service", ""),
            then=State(known.get("then", State.STOPPED)),
            changed=int(known["changed"]) / 1000,
            asked=int(known.get("asked", known["changed"])) / 1000,
            files=known.get("files", ""),
            version=int(known.get("version", 0)),
        )


def files_secret() -> str:
    """Of one instance, or of one app that is kept up."""
    return secrets.token_urlsafe(24)


def files_ticket(instance: Instance, version: int) -> str:
    """What opens the files of a version of its app as long as the instance is wanted."""
    return f"{instance.files}.{version}.{instance.client}"


def _times_of(probe: ProbeTimes | None) -> dict[str, str]:
    if probe is None:
        return {}
    period, delay, patience = (int(seconds * 1000) for seconds in probe)
    return {
        "probe_every": str(period),
        "probe_delay": str(delay),
        "probe_for": str(patience + _PROBE_MARGIN),
    }


def _fields_of(scale: Scale) -> dict[str, str]:
    fields = {"least": str(scale.least), "most": str(scale.most), "target": str(scale.target)}
    return fields if scale.idle is None else fields | {"idle": str(int(scale.idle * 1000))}
