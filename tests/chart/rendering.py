"""What the chart makes of values, as objects."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

from helm.generate import CHART

RELEASE = "hub"
NAMESPACE = "prod"
NAME = "hub-hypha-cluster"

Values = dict[str, Any]
Object = dict[str, Any]

VARIANTS = {path.stem: path for path in sorted((Path(__file__).parent / "variants").glob("*.yaml"))}


@cache
def chart() -> helm.Chart:
    return helm.Chart.load(CHART)


def variant(name: str) -> Values:
    """Return the values of a file in `variants/`."""
    values: Values = yaml.safe_load(VARIANTS[name].read_text(encoding="utf-8"))
    return values


def files(values: Values) -> dict[str, str]:
    """Return what each template becomes; fail as `helm install` would."""
    chart().validate_schema(values)
    return chart().render(values, name=RELEASE, namespace=NAMESPACE)


def refusal(values: Values) -> str:
    """Return what Helm says when it refuses `values`."""
    try:
        files(values)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"{values} was not refused")


def render(values: Values) -> list[Object]:
    return list(objects(files(values)))


def objects(rendered: dict[str, str]) -> Iterator[Object]:
    for name, text in sorted(rendered.items()):
        if name.endswith(".yaml"):
            yield from (found for found in yaml.load_all(text, _OneOfEach) if found)


def one(rendered: list[Object], kind: str, name: str = "") -> Object:
    """Return the only object of a kind, or the one of this name."""
    found = [
        thing
        for thing in rendered
        if thing["kind"] == kind and name in ("", thing["metadata"]["name"])
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def gateway(values: Values) -> Object:
    """Return the gateway's container."""
    return container(one(render(values), "Deployment", NAME))


def container(workload: Object) -> Object:
    first: Object = workload["spec"]["template"]["spec"]["containers"][0]
    return first


def environment(values: Values) -> dict[str, Any]:
    """Return the variables of the gateways: a text, or where it comes from."""
    env = gateway(values)["env"]
    names = [entry["name"] for entry in env]
    assert len(names) == len(set(names)), names
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}


def golden_text(values: Values) -> str:
    """Return what is rendered, but for the test, as text that is the same each time."""
    rendered = {name: text.strip() for name, text in files(values).items() if "/tests/" not in name}
    text = "".join(f"# {name}\n{text}\n" for name, text in sorted(rendered.items()) if text)
    return re.sub(r"^( +(?:jwt-secret|redis-password)): \w+=*$", r"\1: …", text, flags=re.MULTILINE)


class _OneOfEach(yaml.CSafeLoader):
    """Takes a key that is there twice for the mistake that it is."""


def _mapping(loader: _OneOfEach, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key is there twice: {keys}{node.start_mark}"
    return loader.construct_mapping(node, deep=True)


_OneOfEach.add_constructor("tag:yaml.org,2002:map", _mapping)
