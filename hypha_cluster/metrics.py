"""What a node reports to Prometheus, all in one place.

What happens on the path of a frame is counted in plain attributes, which are read when Prometheus
asks. Labels are bounded: no name of a workspace, a client or a user is ever one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "hypha_"


@dataclass(slots=True)
class Counts:
    """How often what has happened on this node."""

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
    sent_away: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    http_answers: Counter[str] = field(default_factory=Counter)


FRAMES = ("local", "bus", "hub", "ignored", "refused")
EVENTS = ("attached", "resumed", "ousted", "suspended", "left", "reaped", "sent_away")
GAUGES = {
    "connections": "Clients attached to this gateway.",
    "outbox_bytes": "Bytes that wait for clients that are slow.",
    "pending_calls": "Calls of this gateway's clients that wait for an answer.",
    "relay_age_seconds": "Seconds since the relay last brought back a probe.",
    "loop_lag_seconds": "How late the event loop was when it was last looked at.",
    "tasks": "Tasks of the event loop.",
    "ready": "1 when the gateway is ready.",
}


class NodeCollector(Collector):
    """Turns the counts of a node, and what its gauges say, into metrics."""

    def __init__(self, counts: Counts, gauges: Mapping[str, Callable[[], float]]) -> None:
        assert gauges.keys() == GAUGES.keys()
        self._counts = counts
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield _counter(
            "frames",
            "Frames from clients, by where they went.",
            "route",
            {route: getattr(counts, f"frames_{route}") for route in FRAMES},
        )
        yield _counter(
            "clients",
            "What clients of this gateway did, or what was done with them.",
            "event",
            {event: getattr(counts, event) for event in EVENTS},
        )
        yield _counter("refused_admissions", "Clients not let in.", "reason", dict(counts.refusals))
        yield _counter(
            "http_answers", "Answers of the service API.", "status", dict(counts.http_answers)
        )
        yield CounterMetricFamily(
            f"{PREFIX}rejects", "Calls that the hub rejected for their target.", counts.rejects
        )
        yield CounterMetricFamily(
            f"{PREFIX}mailed_frames", "Frames that were put into a mailbox.", counts.mailed
        )
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(PREFIX + name, text, self._gauges[name]())


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def node_registry(counts: Counts, gauges: Mapping[str, Callable[[], float]]) -> CollectorRegistry:
    """A registry of this node's metrics and nothing else."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(counts, gauges))
    return registry
