"""Believes trusted proxies about where a request comes from, and drops what others say of it."""

import ipaddress
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hypha_cluster.protocol.limits import KNOWN_SOURCES, PROXIES_TOLD, SOURCE

_log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE: Final = "private"
_PRIVATE: Final = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)
_PREFIX: Final = b"x-forwarded-"
_IPV4: Final = 4
_WITH_PORT: Final = re.compile(
    r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[0-9A-Fa-f:.]+)\](:[0-9]{1,5})?"
)
_NOT_BELIEVED: Final = (
    "What %s says in X-Forwarded-… is not believed: it is none of --trusted-proxies. If it is a "
    "proxy of yours, name it there; until then all who come by it count as one address."
)
_SAYS_NOT_WHO: Final = (
    "The proxy %s does not say for whom it asks: have it send X-Forwarded-For. Until then no limit "
    "of addresses holds for whoever comes by it; those of users hold for whoever has a token."
)


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas, `private` for those of no provider; ValueError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    named = [each for word in words for each in (_PRIVATE if word == PRIVATE else (word,))]
    return tuple(ipaddress.ip_network(word, strict=False) for word in named)


class Sources:
    """The name under which an address counts for the limits; '' for those of trusted networks.

    Behind an address there may be a proxy that does not say for whom it asks, or a whole
    laboratory. With IPv6, a user has a whole network of 64 bits.
    """

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)
        self._known = lru_cache(maxsize=KNOWN_SOURCES)(self._look_up)

    def __call__(self, host: str) -> str:
        return self._known(host)

    def _look_up(self, host: str) -> str:
        address = _address(host)
        if address is None or any(address in network for network in self._trusted):
            return ""
        if address.version == _IPV4:
            return str(address)
        return str(ipaddress.ip_network((int(address), 64), strict=False))


class Forwarded:
    """Sets the address of a request to what a trusted proxy says; drops what others say."""

    def __init__(self, app: ASGIApp, trusted: Iterable[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=KNOWN_SOURCES)(self._look_up)
        self._told: set[str] = set()  # addresses about which the operator has been told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope.get("headers", ())
        if [name for name, _ in headers if name[:12] == _PREFIX]:
            self._judge(scope)
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope) -> None:
        client = scope.get("client")
        if client and not self._is_trusted(client[0]):
            scope["headers"] = [pair for pair in scope["headers"] if pair[0][:12] != _PREFIX]
            self._tell(client[0], _NOT_BELIEVED)
            return
        chain = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not chain:
            self._tell(client[0] if client else "a socket of this machine", _SAYS_NOT_WHO)
            return
        hops = b",".join(chain).decode("latin-1").split(",")
        for hop in reversed([_without_port(hop.strip()) for hop in hops]):
            if _address(hop) is None:
                return
            scope["client"] = (hop, 0)
            if not self._is_trusted(hop):
                return

    def _tell(self, host: str, text: str) -> None:
        """Warn the operator, once of each; strangers can send such headers from anywhere."""
        if host not in self._told and len(self._told) < PROXIES_TOLD:
            self._told.add(host)
            _log.warning(text, host)

    def _look_up(self, host: str) -> bool:
        address = _address(host)
        if address is None:
            return not host  # a socket of this machine has no address
        return any(address in network for network in self._trusted)


def _without_port(hop: str) -> str:
    """The address of a hop to which a proxy adds the port: `1.2.3.4:567`, `[::1]:567`, `[::1]`.

    What is neither stays as it is, and so is no address.
    """
    found = _WITH_PORT.fullmatch(hop)
    return (found["v4"] or found["v6"]) if found else hop


def _address(text: str) -> Address | None:
    if len(text) > SOURCE:  # IPv6 has names of networks, of any length
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
