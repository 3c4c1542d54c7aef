"""What a node reports to Prometheus, all in one place.

What happens on the path of a frame is counted in plain attributes, which are read when Prometheus
asks. Labels are bounded: no name of a workspace, a client or a user is ever one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

PREFIX: Final = "hypha_"
# The upper ends of a histogram's buckets, in seconds.
BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


class Histogram:
    """How many durations were how long; cheap enough for the path of a call."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: how many there were up to each bound."""
        bounds = (*map(str, BOUNDS), "+Inf")
        return list(zip(bounds, map(float, accumulate(self.counts)), strict=True))


@dataclass(slots=True)
class RedisMeter:
    """What one kind of connection to Redis has been used for."""

    commands: int = 0
    batches: int = 0
    durations: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Counts:
    """What has happened on this node: how often, and how long it took."""

    frames_local: int = 0
    frames_bus: int = 0
    frames_hub: int = 0
    frames_ignored: int = 0
    frames_refused: int = 0
    rejects: int = 0
    mailed: int = 0
    attached: int = 0
    resumed: int = 0
    ousted: int = 0
    suspended: int = 0
    left: int = 0
    reaped: int = 0
    set_aside: int = 0
    cut_off: int = 0
    drains: int = 0
    streams: int = 0
    app_runners: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    http_answers: Counter[str] = field(default_factory=Counter)
    posts: Counter[str] = field(default_factory=Counter)
    app_instances: Mapping[str, float] = field(default_factory=dict)
    app_entries: Mapping[str, float] = field(default_factory=dict)
    app_slots: Mapping[str, float] = field(default_factory=dict)
    app_starts: Counter[str] = field(default_factory=Counter)
    app_failed_probes: Counter[str] = field(default_factory=Counter)
    app_start_times: Histogram = field(default_factory=Histogram)
    calls: Histogram = field(default_factory=Histogram)
    http: Histogram = field(default_factory=Histogram)
    loop_delays: Histogram = field(default_factory=Histogram)
    task_failures: Counter[str] = field(default_factory=Counter)
    dropped_messages: Counter[str] = field(default_factory=Counter)
    lost_frames: Counter[str] = field(default_factory=Counter)
    limits_hit: Counter[str] = field(default_factory=Counter)

    def readings(self) -> "dict[str, Reading]":
        """What the metrics that are kept here are read from."""
        return {
            "frames": lambda: {route: getattr(self, f"frames_{route}") for route in ROUTES},
            "rejects": lambda: self.rejects,
            "mailed_frames": lambda: self.mailed,
            "clients": lambda: {event: getattr(self, event) for event in EVENTS},
            "refused_admissions": lambda: self.refusals,
            "event_streams": lambda: self.streams,
            "posted_frames": lambda: self.posts,
            "http_answers": lambda: self.http_answers,
            "app_instances": lambda: self.app_instances,
            "app_states_entered": lambda: self.app_entries,
            "app_runners": lambda: self.app_runners,
            "app_slots": lambda: self.app_slots,
            "app_starts": lambda: self.app_starts,
            "app_start_seconds": lambda: self.app_start_times,
            "app_failed_probes": lambda: self.app_failed_probes,
            "drains": lambda: self.drains,
            "task_failures": lambda: self.task_failures,
            "dropped_messages": lambda: self.dropped_messages,
            "lost_frames": lambda: self.lost_frames,
            "limits_hit": lambda: self.limits_hit,
            "call_duration_seconds": lambda: self.calls,
            "http_duration_seconds": lambda: self.http,
            "loop_delay_seconds": lambda: self.loop_delays,
        }


Value: TypeAlias = float | Histogram
Reading = Callable[[], Value | Mapping[str, float] | Mapping[str, Histogram]]


class About(NamedTuple):
    """What there is to know about one metric. values: those that its label always has."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    label: str = ""
    values: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name that Prometheus has for it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


ROUTES: Final = ("local", "bus", "hub", "ignored", "refused")
EVENTS: Final = (
    *("attached", "resumed", "ousted", "suspended", "left", "reaped", "set_aside", "cut_off"),
)
REASONS: Final = (
    *("BadRequest", "Conflict", "InvalidToken", "PermissionDenied", "StillOnline"),
    *("Replaced", "WorkspaceNotFound", "RedisUnavailable", "NotYetBack", "TooMany"),
)
APP_STATES: Final = (
    *("pending", "starting", "running", "backoff", "stopping", "stopped", "failed"),
)
CONNECTIONS: Final = ("store", "bus")
LIMITS: Final = (
    *("admissions", "connections", "services", "workspaces", "frames", "traffic", "requests"),
    "mail",
)
JOBS: Final = (
    *(
        "bus",
        "function",
        "function-role",
        "handover",
        "last-uses",
        "lease",
        "limits",
        "link",
        "mail",
        "overdue",
        "pages",
        "reaper",
        "reassertion",
    ),
    *("revocations", "servers", "servers' slots", "unheard", "untold"),
)

METRICS: Final = (
    About("info", "gauge", "1; which release the gateway is of.", "version"),
    About("ready", "gauge", "1 when the gateway is ready."),
    About("connections", "gauge", "Clients attached to this gateway."),
    About(
        "clients",
        "counter",
        "What clients of this gateway did, or what was done with them. `resumed` are those of "
        "`attached` that came back; `reaped` those that did not, in time, on whichever gateway; "
        "`set_aside` are to go because of a drain, `cut_off` did not go in time.",
        "event",
        EVENTS,
    ),
    About(
        "refused_admissions",
        "counter",
        "Clients not let in. Those put off (`RedisUnavailable`, `NotYetBack`) try again.",
        "reason",
        REASONS,
    ),
    About(
        "frames",
        "counter",
        "Frames by where they went: to a client here, over the bus, to the hub itself; or nowhere, "
        "since they could not be read (`ignored`) or may not pass (`refused`).",
        "route",
        ROUTES,
    ),
    About("mailed_frames", "counter", "Frames of route `bus` that were put into a mailbox."),
    About(
        "lost_frames",
        "counter",
        "Frames that did not reach their target and have no caller to be told: answers, "
        "heartbeats, events. `nobody` was there, its mailbox was full, or Redis was `unavailable`.",
        "outcome",
        ("nobody", "mailbox_full", "unavailable"),
    ),
    About(
        "dropped_messages",
        "counter",
        "Messages of other gateways that this one does not understand: damaged, or of another "
        "release. A rolling upgrade may have some; else there are none.",
        "kind",
        ("event", "frame"),
    ),
    About(
        "limits_hit",
        "counter",
        "How often a user or an address had more of something than they may; the audit log says "
        "who. Of `frames` and `traffic`: how often they were read more slowly; of `mail`: how often"
        " they had put as much into mailboxes as they may.",
        "limit",
        LIMITS,
    ),
    About("rejects", "counter", "Calls that the hub rejected for their target."),
    About(
        "call_duration_seconds",
        "histogram",
        "From a call of this gateway's clients to its answer, or its rejection by the hub.",
    ),
    About("pending_calls", "gauge", "Calls of this gateway's clients that wait for an answer."),
    About("outbox_bytes", "gauge", "Bytes that wait for clients that are slow."),
    About("event_streams", "gauge", "Those of `connections` that are event streams."),
    About(
        "posted_frames",
        "counter",
        "Frames posted by clients with an event stream: `routed`, also at another gateway; `kept` "
        "until the client is back; or nowhere, since too much waits (`busy`), the stream is "
        "another client's (`refused`) or there is none (`over`).",
        "outcome",
        ("routed", "kept", "busy", "refused", "over"),
    ),
    About(
        "app_instances",
        "gauge",
        "Instances of server apps in the whole cluster, by what they are doing; of those that are "
        "over, the ones that are remembered. All gateways say the same, every ten seconds.",
        "state",
        APP_STATES,
    ),
    About(
        "app_states_entered",
        "counter",
        "How often an instance has come into a state, in the whole cluster: `starting` is a page "
        "that was opened, `backoff` one that crashed or did not feel well and is opened again. All "
        "gateways say the same.",
        "state",
        APP_STATES,
    ),
    About("app_runners", "gauge", "Runners of server apps in the whole cluster; likewise."),
    About(
        "app_slots",
        "gauge",
        "Slots of all runners together, those that have an instance and those that wait for one; "
        "likewise.",
        "use",
        ("used", "free"),
    ),
    About(
        "app_starts",
        "counter",
        "Starts of instances that this gateway was asked for, and what came of them.",
        "outcome",
        ("running", "failed"),
    ),
    About(
        "app_start_seconds",
        "histogram",
        "From the call that starts an instance at this gateway until it is ready.",
    ),
    About(
        "app_failed_probes",
        "counter",
        "Probes of instances that this gateway has asked in vain.",
        "probe",
        ("readiness", "liveness"),
    ),
    About("http_answers", "counter", "Answers to HTTP requests.", "status", ("200",)),
    About("http_duration_seconds", "histogram", "From an HTTP request to the end of its answer."),
    About(
        "store_operations",
        "counter",
        "Commands to the store, by their name; that of a script says what happens in the registry "
        "(`claim`, `leave`, `suspend`, `register`, …).",
        "operation",
        ("claim",),
    ),
    About("redis_commands", "counter", "Commands sent to Redis.", "connection", CONNECTIONS),
    About(
        "redis_batches",
        "counter",
        "Round trips to Redis; each takes all commands that are there.",
        "connection",
        CONNECTIONS,
    ),
    About(
        "redis_duration_seconds",
        "histogram",
        "From a command to its reply: of each one to the store, of one a second on the bus.",
        "connection",
        CONNECTIONS,
    ),
    About(
        "bus_lag_seconds",
        "histogram",
        "How long a message takes from this gateway through Redis to itself; one a second.",
    ),
    About("relay_age_seconds", "gauge", "Seconds since the bus last brought back such a message."),
    About(
        "loop_delay_seconds", "histogram", "How late the event loop was; looked at once a second."
    ),
    About("loop_lag_seconds", "gauge", "How late the event loop was when it was last looked at."),
    About("tasks", "gauge", "Tasks of the event loop."),
    About(
        "task_failures",
        "counter",
        "Failures of background work, each a fault of the hub that its log describes. The values "
        "here are jobs, which are started again; others are tasks that end by themselves.",
        "task",
        JOBS,
    ),
    About("drains", "counter", "Drains begun, at most one in the life of a gateway."),
    About("draining_seconds", "gauge", "Seconds since the drain began; 0 when there is none."),
)


def redis_readings(**meters: RedisMeter) -> dict[str, Reading]:
    """The readings of the connections to Redis, each labelled with what they are for."""
    return {
        "redis_commands": lambda: {name: meter.commands for name, meter in meters.items()},
        "redis_batches": lambda: {name: meter.batches for name, meter in meters.items()},
        "redis_duration_seconds": lambda: {name: meter.durations for name, meter in meters.items()},
    }


class NodeCollector(Collector):
    """Turns what is read from a node into metrics."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        assert readings.keys() == {about.name for about in METRICS}
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        for about in METRICS:
            reading = self._readings[about.name]()
            if isinstance(reading, Mapping):
                always = () if about.kind == "histogram" else about.values
                yield _family(about, {**dict.fromkeys(always, 0.0), **reading})
            else:
                yield _family(about, {"": reading})


def _family(about: About, values: Mapping[str, Value]) -> Metric:
    kinds: dict[str, type[Any]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    labels = [about.label] if about.label else []
    help_text = about.help.replace("`", "")
    family = kinds[about.kind](PREFIX + about.name, help_text, labels=labels)
    for label, value in values.items():
        named = [label] if about.label else []
        if isinstance(value, Histogram):
            family.add_metric(named, value.buckets(), value.sum)
        else:
            family.add_metric(named, value)
    return cast(Metric, family)


def node_registry(readings: Mapping[str, Reading]) -> CollectorRegistry:
    """A registry of this node's metrics, and of its process's."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(readings))
    ProcessCollector(registry=registry)
    return registry
