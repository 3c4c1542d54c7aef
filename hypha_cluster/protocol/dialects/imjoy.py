"""imjoy-rpc 0.5.6 to 0.5.59, Python and JavaScript: the dialect of docs/protocol.md."""

from typing import Final

from hypha_cluster.protocol import guard
from hypha_cluster.protocol.address import MANAGER
from hypha_cluster.protocol.chunks import ChunkGuard
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.envelope import FrameReader, Seal
from hypha_cluster.protocol.limits import CLIENT_FRAME

# Reading more than any client may get would only cost time.
_reader: Final = FrameReader(CLIENT_FRAME)

IMJOY: Final = Dialect(
    name="imjoy-rpc",
    greets=bool,  # a client says in its query who it is; the next generation does in a message
    manager=MANAGER,
    read=_reader.read,
    salvage=_reader.salvage,
    check_call=guard.check_call,
    check_message=guard.check_message,
    service_called=guard.service_called,
    seal=Seal,
    cache=guard.CACHE,
    chunks=ChunkGuard,
)
