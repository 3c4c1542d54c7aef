"""What proxies say of where a request comes from: believed of those trusted, else dropped."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE: Final = "private"
_PRIVATE: Final = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)
_PREFIX: Final = b"x-forwarded-"


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas, `private` for those of no provider; ValueError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    named = [each for word in words for each in (_PRIVATE if word == PRIVATE else (word,))]
    return tuple(ipaddress.ip_network(word, strict=False) for word in named)


class Forwarded:
    """Lets a request say by which address it came, and from where, if a trusted proxy adds it."""

    def __init__(self, app: ASGIApp, trusted: Iterable[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=1024)(self._look_up)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope.get("headers", ())
        if [name for name, _ in headers if name[:12] == _PREFIX]:
            self._judge(scope)
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope) -> None:
        client = scope.get("client")
        if client and not self._is_trusted(client[0]):
            scope["headers"] = [pair for pair in scope["headers"] if pair[0][:12] != _PREFIX]
            return
        chain = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = b",".join(chain).decode("latin-1").split(",")
        for hop in reversed([hop.strip() for hop in hops]):
            if not _is_address(hop):
                return
            scope["client"] = (hop, 0)
            if not self._is_trusted(hop):
                return

    def _look_up(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return not host  # a socket of this machine has no address
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
