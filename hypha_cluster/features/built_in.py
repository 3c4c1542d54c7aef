"""The features that every hub has."""

from typing import Final

from hypha_cluster.features.feature import Feature, extensions

BUILT_IN: Final[tuple[type[Feature], ...]] = ()


def all_features() -> list[type[Feature]]:
    """What is built in, then extensions; StartupError names an extension that is broken."""
    return [*BUILT_IN, *extensions()]
