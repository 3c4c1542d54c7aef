"""The Grafana board that is shipped, as a test sees it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypha_cluster.prometheus import METRICS
from tests.prometheus import DEPLOY

PROCESS_METRICS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
# What Grafana puts in; the test's Prometheus scrapes each second.
VARIABLES = {"$__rate_interval": "15s", "$job": "hypha-cluster", "$gateway": ".*"}


def board() -> dict[str, Any]:
    text = (DEPLOY / "grafana" / "hypha-cluster.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def targets() -> Iterator[tuple[str, str]]:
    """The title of a panel, and one of its queries."""
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def filled(expression: str) -> str:
    """A query as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def metrics_in(expression: str) -> set[str]:
    """The metrics that a query asks for."""
    return set(re.findall(r"\b(?:hypha|process)_\w+", expression))


def known_metrics() -> set[str]:
    """All that a query may ask for."""
    known = set(PROCESS_METRICS)
    for about in METRICS:
        if about.kind == "histogram":
            known |= {f"{about.full_name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            known.add(about.full_name)
    return known
