"""One of several gateway processes: takes orders from its parent, and reports to it.

The parent writes to standard input: a line with its orders, whose settings hold secrets and are
therefore in no argument and no variable; later `retire`. The end of the input is the end of the
parent. The worker writes one line to standard output, as JSON: `ready`, or why it cannot start.
"""

import json
import os
import sys
import threading
from io import FileIO
from typing import Final

from hypha_cluster import audit
from hypha_cluster.errors import StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.gateway import Port, run_gateway
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.serving.stop import Stop
from hypha_cluster.serving.titles import call_process

READY: Final = "ready"
RETIRE: Final = b"retire\n"


def main() -> int:
    """Serve on the descriptor that the only argument names, until told to stop."""
    said = _Report()
    # Without a buffer, whose lock a thread would still hold at the end.
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  (it stays open)
    line = orders.readline()
    if not line:
        return 1  # the parent is gone already
    first = json.loads(line)
    settings = HubSettings.from_wire(first["settings"])
    config = settings.node
    configure_logging(config.log_level, config.log_format)
    audit.switch(on=config.audit)
    call_process(f"hypha-cluster: gateway {config.node_name} on port {config.port}")
    stop = Stop()
    threading.Thread(target=_obey, args=(orders, stop), daemon=True).start()
    try:
        run_gateway(settings, Port(int(sys.argv[1]), first["is_held"]), said.ready, stop)
    except StartupError as error:
        said.write(str(error))
        return 2
    return 0


class _Report:
    """The way to the parent, kept from everything else that writes to standard output."""

    def __init__(self) -> None:
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def write(self, text: str) -> None:
        self._output.write(json.dumps(text) + "\n")
        self._output.flush()

    def ready(self) -> None:
        self.write(READY)


def _obey(orders: FileIO, stop: Stop) -> None:
    for line in orders:
        if line == RETIRE:
            stop.retire()
    os._exit(1)  # nobody else would stop this worker, and its port must become free


if __name__ == "__main__":
    sys.exit(main())
