"""Addresses of clients and ids of services (protocol.md, words)."""

from typing import Final, NamedTuple

MANAGER: Final = "workspace-manager"  # the client in each workspace that the hub plays
_MARK: Final = "/~"  # before the name of a node, which so has an address in every workspace


def absolute(target: str, workspace: str) -> str:
    """`client` → `workspace/client`; what is absolute already stays as it is."""
    return target if "/" in target else f"{workspace}/{target}"


def workspace_of(address: str) -> str:
    return address.partition("/")[0]


def client_of(address: str) -> str:
    return address.rpartition("/")[2]


def peer_address(workspace: str, node: str) -> str:
    """The address, in any workspace, that leads back to a node itself."""
    return f"{workspace}{_MARK}{node}"


def node_of(address: str) -> str | None:
    """The node that an address leads to, as `peer_address` made it; None for any other."""
    _, mark, node = address.partition(_MARK)
    return node if mark else None


def is_hub(address: str) -> bool:
    """Whether an address is the hub's: a manager, or a node itself."""
    return client_of(address) == MANAGER or _MARK in address


class ServiceQuery(NamedTuple):
    """Which service is meant: `workspace/client:service`, each None when it was not said."""

    workspace: str | None
    client: str | None
    service: str


def parse_service_id(text: str) -> ServiceQuery:
    """Read every form of protocol.md 6.3: `s`, `c:s`, `w/c:s`, `w/c`, `w/*:s`, `*:s`."""
    workspace, slash, rest = text.rpartition("/")
    client, colon, service = rest.partition(":")
    if not colon:
        client, service = (rest, "default") if slash else ("*", rest)
    return ServiceQuery(workspace or None, None if client == "*" else client, service)
