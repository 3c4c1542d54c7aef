"""A program as itkwidgets is one: blocking; a page shows what it has, and is called by it.

Runs inside an environment with one release of imjoy-rpc. Its only argument is how to connect, as
JSON; each line that it writes says what has happened.
"""

import json
import sys
import time
from typing import Any

import numpy
from imjoy_rpc.hypha import connect_to_server_sync

IMAGE = numpy.arange(1_200_000, dtype="uint16").reshape(1000, 1200) % 251


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    server = connect_to_server_sync(json.loads(sys.argv[1]))
    config = {"visibility": "protected", "require_context": False, "run_in_executor": True}
    server.register_service({"id": "parser-helper", "config": config, "inputObject": lambda: IMAGE})
    tell(workspace=server.config["workspace"], token=server.generate_token())
    for line in sys.stdin:
        tell(event=line.strip(), **use(server, line.strip()))


def use(server: Any, viewer: str) -> dict[str, Any]:
    """Call the page's viewer, as a cell of a notebook does."""
    service = server.get_service(viewer)
    while service is None:  # the page is loading
        time.sleep(0.1)
        service = server.get_service(viewer)
    shown = service.getViewer()
    shape = shown.setImage(IMAGE)
    same = bool((shown.getImage() == IMAGE).all())
    return {"shape": shape, "same": same}


main()
