"""The features that every hub has."""

from typing import Final

from hypha_cluster.features.feature import Feature, extensions
from hypha_cluster.features.login.login import Login
from hypha_cluster.features.pages.pages import HubPages
from hypha_cluster.features.webapps.webapps import WebApps

# Login first: its page is where web applications are.
BUILT_IN: Final[tuple[type[Feature], ...]] = (Login, WebApps, HubPages)


def all_features() -> list[type[Feature]]:
    """What is built in, then extensions; StartupError names an extension that is broken."""
    return [*BUILT_IN, *extensions()]
