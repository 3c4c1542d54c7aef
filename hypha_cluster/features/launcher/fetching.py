"""Fetches sources by https, from public addresses only: not from networks that the hub sees."""

import asyncio
import ipaddress
import socket
from typing import Final, NamedTuple, Self
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2

from hypha_cluster.errors import BadRequest, PermissionDenied, ProviderFailed, TooLarge
from hypha_cluster.protocol.guard import shown

_TIME: Final = 20.0  # seconds, for all of it
_REDIRECTS: Final = 5
_HTTPS: Final = 443


async def public_address(host: str, port: int) -> str:
    """A public address of a host; PermissionDenied when it has any that is not public.

    Connect to the address, not to the name, which may lead to another one a moment later.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ProviderFailed(f"{shown(host)} has no address.") from None
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not is_public(address):
            raise PermissionDenied(f"{shown(host)} is in no network that everybody reaches.")
        if is_own(address):
            raise PermissionDenied(
                f"{shown(host)} is this machine, of which only the hub is for you."
            )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is public, and no private IPv4 address inside an IPv6 one either."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if inner:
            return is_public(str(inner))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in _GLOBAL or ip in _EXAMPLES:
            return False
    elif ip in _PROTOCOLS:  # of which releases of Python know different parts
        return False
    return ip.is_global and not ip.is_multicast


_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL: Final = ipaddress.ip_network("2000::/3")  # what IPv6 has given to networks so far
_EXAMPLES: Final = ipaddress.ip_network("3fff::/20")


def is_own(address: str) -> bool:
    """Whether an IP address is one of this machine, which reaches itself past its firewall."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _HTTPS))  # sends nothing, but finds the source for the address
        except OSError:
            return False
        return ipaddress.ip_address(probe.getsockname()[0]) == ipaddress.ip_address(address)


async def fetch(url: str, limit: int) -> bytes:
    """What is at an https address, of at most `limit` bytes."""
    try:
        async with asyncio.timeout(_TIME), httpx2.AsyncClient(trust_env=False) as client:
            for _ in range(_REDIRECTS):
                content, onward = await _step(client, url, limit)
                if not onward:
                    return content
                url = onward
    except TimeoutError:
        raise ProviderFailed(f"{shown(url)} does not answer in time.") from None
    except httpx2.HTTPError as error:
        raise ProviderFailed(f"{shown(url)} cannot be fetched: {type(error).__name__}") from None
    raise ProviderFailed(
        f"A source leads to another address {_REDIRECTS} times at most; then to {shown(url)}."
    )


class _Source(NamedTuple):
    """The parts of a URL. name: of the host, with its port if it names one."""

    host: str
    port: int
    name: str
    path: str

    @classmethod
    def of(cls, url: str) -> Self:
        """BadRequest for what is no address, or none of https."""
        try:
            parts, _ = urlsplit(url), httpx2.URL(url)
            port = _HTTPS if parts.port is None else parts.port
        except (ValueError, httpx2.InvalidURL):
            raise BadRequest(f"{shown(url)} is no address of a source.") from None
        if parts.scheme != "https" or not parts.hostname:
            raise BadRequest(f"Only https sources are allowed: {shown(url)}")
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        return cls(parts.hostname, port, parts.netloc.rpartition("@")[2], path)


async def _step(client: httpx2.AsyncClient, url: str, limit: int) -> tuple[bytes, str]:
    """What is there, or where it leads on to."""
    where = _Source.of(url)
    address = await public_address(where.host, where.port)
    shown_host = f"[{address}]" if ":" in address else address
    request = client.build_request(
        "GET",
        httpx2.URL(f"https://{shown_host}:{where.port}{where.path}"),
        headers={"Host": where.name, "Accept-Encoding": "identity"},
        extensions={"sni_hostname": where.host},
    )
    response = await client.send(request, stream=True)
    try:
        if response.is_redirect:
            return b"", _onward(url, response.headers.get("location", ""))
        if not response.is_success:
            raise ProviderFailed(f"{shown(url)} answers {response.status_code}.")
        return await _body(response, url, limit), ""
    finally:
        await response.aclose()


def _onward(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise BadRequest(f"{shown(url)} leads to {shown(location)}, no address.") from None


async def _body(response: httpx2.Response, url: str, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > limit:
            raise TooLarge(f"{shown(url)} has more than {limit} bytes.")
    return bytes(body)
