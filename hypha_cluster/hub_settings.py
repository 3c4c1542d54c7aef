"""All settings of a hub, those of the node and those of its features, read together."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from hypha_cluster.config import TOPICS, Config, masked
from hypha_cluster.errors import StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.features.feature import Feature
from hypha_cluster.settings import (
    Setting,
    Value,
    complaints,
    read_environment,
    read_flags,
    settings_of,
)

Kinds = Sequence[type[Feature]]


class HubSettings(NamedTuple):
    """What a hub was told: the node, and each feature that is there."""

    node: Config
    features: tuple[tuple[type[Feature], Any], ...]

    @classmethod
    def load(
        cls,
        flags: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
        features: Kinds | None = None,
    ) -> Self:
        """What flags say, then the environment, then the defaults; StartupError for a mistake."""
        kinds = all_features() if features is None else features
        known = all_settings(kinds)
        given = {**read_environment(known, environ), **read_flags(known, flags)}
        node = Config.of(given, environ)
        return cls(node, tuple((kind, _settings(kind, given)) for kind in kinds))

    def with_node(self, **changes: Any) -> Self:
        """The same, with these settings of the node changed."""
        return self._replace(node=dataclasses.replace(self.node, **changes))

    def shown(self) -> list[tuple[Setting, Value]]:
        """What is in force, fit to be printed: secrets are masked."""
        parts = [self.node, *(settings for _, settings in self.features)]
        return [
            (about, masked(about, getattr(part, about.name)))
            for part in parts
            for about in settings_of(type(part))
        ]

    def to_wire(self) -> dict[str, Any]:
        """For a process of the same hub; it holds secrets."""
        features = {kind.name: dataclasses.asdict(settings) for kind, settings in self.features}
        return {"node": dataclasses.asdict(self.node), "features": features}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], features: Kinds | None = None) -> Self:
        kinds = all_features() if features is None else features
        chosen = [(kind, kind.Settings(**wire["features"].get(kind.name, {}))) for kind in kinds]
        return cls(Config(**wire["node"]), tuple(chosen))


def all_settings(features: Kinds) -> tuple[Setting, ...]:
    """The settings of the node, then those of the features; no two have one name."""
    found: dict[str, str] = {}
    settings: list[Setting] = []
    for owner, shape in [("the hub", Config), *((kind.name, kind.Settings) for kind in features)]:
        for about in settings_of(shape):
            for name in (about.name, *about.flags, *about.envs):
                if found.setdefault(name, owner) != owner:
                    raise StartupError(f"{owner} and {found[name]} both have a setting {name}")
            settings.append(about)
    return tuple(settings)


def topics_of(features: Kinds) -> dict[str, list[Setting]]:
    """The same settings by their topics, in their order."""
    found: dict[str, list[Setting]] = {}
    topic = ""
    for about in settings_of(Config):
        topic = TOPICS.get(about.name, topic)
        found.setdefault(topic, []).append(about)
    for kind in features:
        if settings := settings_of(kind.Settings):
            found.setdefault(kind.title or kind.name.capitalize(), []).extend(settings)
    return found


def _settings(kind: type[Feature], given: Mapping[str, Value]) -> Any:
    about = settings_of(kind.Settings)
    settings = kind.Settings(
        **{each.name: given[each.name] for each in about if each.name in given}
    )
    for complaint in _complaints(about, settings):
        raise StartupError(complaint)
    return settings


def _complaints(about: Iterable[Setting], settings: Any) -> Iterable[str]:
    for each in about:
        yield from complaints(each, getattr(settings, each.name))
