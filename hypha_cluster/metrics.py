"""What a node counts: in plain attributes, which are read when somebody asks.

So a count costs the path of a frame next to nothing. prometheus.py says what is shown of them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeAlias

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


Value: TypeAlias = float | Histogram
Reading = Callable[[], Value | Mapping[str, float] | Mapping[str, Histogram]]


@dataclass(slots=True)
class RedisMeter:
    """What one kind of connection to Redis has been used for."""

    commands: int = 0
    batches: int = 0
    durations: Histogram = field(default_factory=Histogram)


# What the labels of frames and of clients say; each is a number of Counts.
ROUTES: Final = ("local", "bus", "hub", "ignored", "refused")
EVENTS: Final = (
    *("attached", "resumed", "ousted", "suspended", "left", "reaped", "set_aside", "cut_off"),
)


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

    def readings(self) -> dict[str, Reading]:
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


def redis_readings(**meters: RedisMeter) -> dict[str, Reading]:
    """The readings of the connections to Redis, each labelled with what they are for."""
    return {
        "redis_commands": lambda: {name: meter.commands for name, meter in meters.items()},
        "redis_batches": lambda: {name: meter.batches for name, meter in meters.items()},
        "redis_duration_seconds": lambda: {name: meter.durations for name, meter in meters.items()},
    }
