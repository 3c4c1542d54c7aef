"""What a node reports to Prometheus, all in one place.

Labels are bounded: no name of a workspace, a client or a user is ever one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hypha_cluster.metrics import EVENTS, ROUTES, Histogram, Reading, Value

PREFIX: Final = "hypha_"


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
