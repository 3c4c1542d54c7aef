"""Reads what a gateway reports to Prometheus."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.gateways import SECOND


def metric(url: str, name: str, **labels: str) -> float:
    """The value of one sample of the gateway at `url`."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10 * SECOND) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise LookupError(f"the gateway has no {name} {labels}")
