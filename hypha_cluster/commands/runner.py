"""`hypha-cluster runner`: runs server apps for a cluster, on a machine of its own or beside it."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.embedded import running_store
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.serving.runner import run_runner, terms_of
from hypha_cluster.serving.systemd import READY, STOPPING, notify

USAGE: Final = """\
usage: hypha-cluster runner [--slots NUMBER] [flags of serve]

Runs the server apps of a cluster in a browser on this machine, until it is told to stop; then other
runners go on with them. Of the flags of `serve`, these matter here:

  --redis-url, --redis-prefix    which cluster; or --data-dir of a hub on this machine
  --app-hub-url URL              where the pages of apps reach the hub, such as its balancer
  --slots NUMBER                 how many apps it runs at once (8)
  --app-browser, --app-memory, --app-network, --in-docker    its browser
"""


def run(words: Sequence[str]) -> None:
    """StartupError when it cannot run anything."""
    if {"-h", "--help"} & set(words):
        sys.stdout.write(USAGE)
        return
    settings = HubSettings.load(words)
    node = settings.node
    configure_logging(node.log_level, node.log_format)
    if not node.redis_url:
        settings = settings.with_node(redis_url=running_store(node.data_dir))

    def announce() -> None:
        sys.stdout.write(f"A runner with {terms_of(settings).app_slots} slots is up\n")
        sys.stdout.flush()
        notify(READY)

    run_runner(settings, announce, asyncio.Event())
    notify(STOPPING)
