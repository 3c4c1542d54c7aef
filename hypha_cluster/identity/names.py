"""What workspaces, clients and services may be called."""

import re

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.address import MANAGER
from hypha_cluster.protocol.guard import shown

# What the protocol, the keys in Redis and the listings use as separators may be in no name.
# Nor may control characters, which a terminal that shows a log would obey.
_WORKSPACE_NAME = re.compile(
    r"[^\s/:*{}~?#%&\x00-\x1f\x7f-\x9f][^\s/:*{}?#%&\x00-\x1f\x7f-\x9f]{0,255}"
)
_CLIENT_ID = _WORKSPACE_NAME
_SERVICE_ID = re.compile(
    r"[^\s/:*{}\x00-\x1f\x7f-\x9f][^/:*{}\x00-\x1f\x7f-\x9f\u2028\u2029]{0,255}"
)


def check_workspace_name(name: str) -> None:
    if not _WORKSPACE_NAME.fullmatch(name):
        raise BadRequest(f"{shown(name)} cannot be a workspace name: {_NAME_RULE}")


def check_client_id(client_id: str) -> None:
    if client_id == MANAGER or not _CLIENT_ID.fullmatch(client_id):
        raise BadRequest(f"{shown(client_id)} cannot be a client id: {_NAME_RULE}")


def check_service_id(service_id: str) -> None:
    if not _SERVICE_ID.fullmatch(service_id):
        raise BadRequest(f"{shown(service_id)} cannot be a service id: {_NAME_RULE}")


_NAME_RULE = "use 1 to 256 characters, none of them white space or any of / : * { } ? # % & ~."
