"""Writes the parts of the chart that are made from others: `python -m helm.generate`.

values.schema.json and the tables of README.md are made from values.yaml and from the hub's
settings; the alerts and the board of `deploy/` are copied to where Helm finds them.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from docs.generate import default_text, help_text
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import all_settings
from hypha_cluster.settings import SUFFIXES, Setting

CHART = Path(__file__).parent / "hypha-cluster"
DEPLOY = Path(__file__).parents[1] / "deploy"
COPIES = {
    "alerts.yml": DEPLOY / "prometheus" / "alerts.yml",
    "hypha-cluster.json": DEPLOY / "grafana" / "hypha-cluster.json",
}
MARK = "<!-- {} of values.yaml and hypha_cluster/config.py: `make format` -->"

Schema = dict[str, Any]

NUMBER_OR_PERCENT: Schema = {"type": ["integer", "string"], "pattern": r"^(\d+%?)?$"}
NAMES: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
# What the default of a value does not show.
SHAPES: dict[str, Schema] = {
    "podDisruptionBudget.maxUnavailable": NUMBER_OR_PERCENT,
    "podDisruptionBudget.minAvailable": NUMBER_OR_PERCENT,
    "ingress.hosts": NAMES,
    "httpRoute.hostnames": NAMES,
    "service.loadBalancerSourceRanges": NAMES,
    "networkPolicy.redisPorts": {"type": "array", "items": {"type": "integer"}},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "replicaCount": {"type": "integer", "minimum": 0},
    "autoscaling.minReplicas": {"type": "integer", "minimum": 1},
}
# Handed on to Kubernetes as they are.
FOREIGN = (
    "affinity",
    "extraPodSpec",
    "extraSpec",
    "podSecurityContext",
    "resources",
    "securityContext",
)
# What the hub would refuse, or a pod could not have.
LIMITS: dict[str, Schema] = {
    "redis_url": {"pattern": r"^(|(unix|rediss?(\+sentinel|\+cluster)?)://.+)$"},
    "base_path": {"pattern": r"^(/[^/?#\s]+)*/?$"},
    "port": {"minimum": 1},
}


class Value(NamedTuple):
    """A value of the chart that has a description."""

    path: str
    default: Any
    description: str


def pages() -> dict[Path, str]:
    """Every generated file, and what it should hold."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    readme = _between(readme, "Values", _table(_value_rows()))
    readme = _between(readme, "Settings", _table(_setting_rows()))
    return {
        CHART / "README.md": readme,
        CHART / "values.schema.json": _json(schema()),
        CHART / "files" / "defaults.json": _json(
            {s.name: s.default for s in all_settings(BUILT_IN)}
        ),
        **{
            CHART / "files" / name: source.read_text(encoding="utf-8")
            for name, source in COPIES.items()
        },
    }


# The schema.


def schema() -> Schema:
    """What values may be given; a name that is not known is an error."""
    root = _object("", yaml.safe_load(_values_text()), {value.path: value for value in values()})
    root["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {about.name: _setting_schema(about) for about in all_settings(BUILT_IN)},
    }
    # Helm gives it to every chart that is a part of another.
    root["properties"]["global"] = {"type": "object"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root}


def _object(path: str, default: dict[str, Any], described: dict[str, Value]) -> Schema:
    properties = {
        name: _value_schema(f"{path}.{name}".lstrip("."), value, described)
        for name, value in default.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value_schema(path: str, default: Any, described: dict[str, Value]) -> Schema:
    if path not in described:
        return _object(path, default, described)
    description = described[path].description
    return {"description": description, **_shape(path, default), **_choices(default, description)}


def _shape(path: str, default: Any) -> Schema:
    name = path.rpartition(".")[2]
    if path in SHAPES:
        return SHAPES[path]
    if name in FOREIGN:
        return {"type": "object"}
    if isinstance(default, dict):
        return LABELS
    if isinstance(default, list):
        return {"type": "array", "items": {"type": "object"}}
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "string"}


def _choices(default: Any, description: str) -> Schema:
    listed = re.search(r"One of ((?:`[^`]+`(?:, )?)+)", description)
    if not listed:
        return {}
    found = re.findall(r"`([^`]+)`", listed[1])
    return {"enum": found if default in found else [default, *found]}


def _setting_schema(about: Setting) -> Schema:
    return {
        "description": help_text(about),
        **_setting_type(about),
        **({"enum": list(about.choices)} if about.choices else {}),
        **LIMITS.get(about.name, {}),
    }


def _setting_type(about: Setting) -> Schema:
    if isinstance(about.default, bool):
        return {"type": "boolean"}
    if isinstance(about.default, str):
        return {"type": "string"}
    number = "number" if isinstance(about.default, float) else "integer"
    bounds = dict(zip(("minimum", "maximum"), about.within or (), strict=False))
    if about.unit not in SUFFIXES:
        return {"type": number, **bounds}
    pattern = rf"^\d+(\.\d+)? *({'|'.join(SUFFIXES[about.unit])})?$"
    return {"type": [number, "string"], **bounds, "pattern": pattern}


# The tables.


def values() -> Iterator[Value]:
    """All values that have a description, in the order of values.yaml."""
    text = _values_text()
    yield from _values("", yaml.compose(text), yaml.safe_load(text), text.splitlines())


def _values(path: str, node: Any, default: Any, lines: list[str]) -> Iterator[Value]:
    for key, below in node.value:
        full = f"{path}.{key.value}".lstrip(".")
        description = _description(lines, key.start_mark.line)
        if description:
            yield Value(full, default[key.value], description)
        elif isinstance(below, yaml.MappingNode) and below.value:
            yield from _values(full, below, default[key.value], lines)
        else:
            raise ValueError(f"{full} has no description: put a comment with `# --` before it")


def _description(lines: list[str], line: int) -> str:
    """The comment right above a line, if it is a description."""
    comment: list[str] = []
    while line and lines[line - 1].strip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().removeprefix("#").strip())
        if comment[0].startswith("--"):
            return " ".join(comment).removeprefix("--").strip()
    return ""


def _value_rows() -> Iterator[list[str]]:
    for value in values():
        default = json.dumps(value.default, ensure_ascii=False)
        yield [f"`{value.path}`", f"`{default}`", value.description]


def _setting_rows() -> Iterator[list[str]]:
    for about in all_settings(BUILT_IN):
        yield [f"`settings.{about.name}`", default_text(about), help_text(about)]


def _table(rows: Iterator[list[str]]) -> str:
    lines = [["value", "default", "meaning"], ["---"] * 3, *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _between(text: str, what: str, content: str) -> str:
    start, end = MARK.format(what), MARK.format(f"End of {what.lower()}")
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    assert found, f"README.md lacks the line {start} or {end}"
    return f"{before}{start}\n\n{content}\n{end}{after}"


def _values_text() -> str:
    return (CHART / "values.yaml").read_text(encoding="utf-8")


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(CHART)}\n")
