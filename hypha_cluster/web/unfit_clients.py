"""Clients that cannot work with this hub as they are: tells their users what would work."""

import asyncio
import contextlib
import logging
import re
from typing import Final

from starlette.datastructures import Headers
from starlette.websockets import WebSocket

from hypha_cluster.protocol.limits import FIRST_MESSAGE

_log = logging.getLogger(__name__)

# The first release of websockets with which no published imjoy-rpc works: the client fails with an
# AttributeError and breaks off.
BREAKING_WEBSOCKETS: Final = 14
VIOLATION: Final = 1008  # closes a connection that is not to be tried again

# hypha-rpc shows it to its user, in Python as in JavaScript.
NOT_SERVED: Final = (
    "This hub serves imjoy-rpc clients, and does not speak hypha-rpc. In Python: "
    "pip install imjoy-rpc 'websockets<14', then from imjoy_rpc.hypha import connect_to_server. "
    "In JavaScript: load hypha-rpc-websocket.min.js of the npm package imjoy-rpc."
)


async def turn_away(websocket: WebSocket) -> None:
    """Tell a hypha-rpc client what to do; a refusal would have it try again, with a query."""
    _log.info("A client was refused: it speaks hypha-rpc, which this hub does not.")
    await websocket.accept()
    await websocket.send_json({"type": "error", "message": NOT_SERVED})
    # Such a client says who it is before it reads; if the connection is closed by then, it reads
    # nothing.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_MESSAGE):
            await websocket.receive()
    await websocket.close(VIOLATION, "hypha-rpc is not served here")


def warn_of_websockets(headers: Headers, address: str) -> None:
    """Say in the log why a client is about to break off, which it can tell nobody itself."""
    found = re.search(r"\bwebsockets/(\d{1,4})(?!\d)[\d.]{0,20}", headers.get("user-agent", ""))
    if found and int(found[1]) >= BREAKING_WEBSOCKETS:
        _log.warning(
            "%s comes with %s, with which imjoy-rpc breaks as soon as it is connected: "
            "pip install 'websockets<14' where it runs.",
            address,
            found[0].replace("/", " "),
            extra={"client": address},
        )
