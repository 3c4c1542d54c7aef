"""What a node reports to Prometheus, all in one place.

Labels are bounded: no name of a workspace, a client or a user is ever one.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The figures of one node, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Gauge(
            "hypha_connections", "Clients attached to this gateway.", registry=self.registry
        )
        self.frames = Counter(
            "hypha_frames",
            "Frames by where they went: local, bus, hub, rejected.",
            ["route"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "hypha_refused_admissions",
            "Clients that were not let in, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.http_calls = Counter(
            "hypha_http_calls",
            "Calls of services over HTTP, by status.",
            ["status"],
            registry=self.registry,
        )
