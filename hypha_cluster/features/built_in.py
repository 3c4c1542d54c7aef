"""The features that every hub has."""

from typing import Final

from hypha_cluster.features.feature import Feature, extensions
from hypha_cluster.features.functions.functions import Functions
from hypha_cluster.features.launcher.launcher import Launcher
from hypha_cluster.features.login.login import Login
from hypha_cluster.features.mounts import Mounts
from hypha_cluster.features.pages.pages import HubPages
from hypha_cluster.features.webapps.webapps import WebApps

# In this order: the first two have pages at addresses at which web applications are, too.
BUILT_IN: Final[tuple[type[Feature], ...]] = (
    Login,
    Launcher,
    WebApps,
    HubPages,
    Mounts,
    Functions,
)


def all_features() -> list[type[Feature]]:
    """What is built in, and extensions; StartupError names an extension that is broken.

    The page of a workspace is last: a workspace could have the name of any path.
    """
    others = [feature for feature in BUILT_IN if feature is not HubPages]
    return [*others, *extensions(), HubPages]
