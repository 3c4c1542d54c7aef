"""Who may see a service or a workspace, as clients write it."""

import logging
from typing import Final

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.guard import shown

_log = logging.getLogger(__name__)

VISIBILITIES: Final = ("public", "protected")
_PRIVATE: Final = "private"  # the documentation of the original has people write it


def check_visibility(visibility: object) -> None:
    """Raise BadRequest for what has no meaning."""
    if visibility not in (*VISIBILITIES, _PRIVATE):
        raise BadRequest(f"'visibility' is 'public' or 'protected', not {shown(visibility)}.")


def read_visibility(visibility: object, what: str, address: str) -> str:
    """Read the visibility of something that the client at `address` offers or makes."""
    check_visibility(visibility)
    if visibility == _PRIVATE:
        _log.info("%s: visibility 'private' of %s is taken as 'protected'.", address, what)
        return "protected"
    return str(visibility)
