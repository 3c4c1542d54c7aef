"""The dialects that this hub speaks."""

from typing import Final

from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.dialects.imjoy import IMJOY

DIALECTS: Final = (IMJOY,)


def spoken_with(query: bytes) -> Dialect | None:
    """The dialect of a client whose WebSocket has this query string; None if it is unknown."""
    return next((dialect for dialect in DIALECTS if dialect.greets(query)), None)
