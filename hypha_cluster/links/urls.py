"""Reads the URL of a Redis: one server, a master behind Sentinels, or a cluster."""

import ssl
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from hypha_cluster.links.link import Access, Endpoint
from hypha_cluster.links.servers import ClusterServers, OneServer, SentinelServers, Servers
from hypha_cluster.supervision import Supervisor


class _Parts(NamedTuple):
    """What a URL says."""

    hosts: list[str]
    path: str
    username: str
    password: str
    options: dict[str, str]


def find_servers(url: str, timeout: float, supervisor: Supervisor | None = None) -> Servers:
    """The servers behind a URL of one of the kinds that `config.REDIS_SCHEMES` names.

    supervisor: of their background work; by default they have one of their own.
    """
    supervisor = supervisor or Supervisor()
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    parts = _parse(url)
    tls = _tls(parts.options) if scheme == "rediss" else None
    username = parts.options.get("username", parts.username)
    password = parts.options.get("password", parts.password)
    db = parts.options.get("db", parts.path.rpartition("/")[2] if not kind else "")
    access = Access(username, password, int(db or 0) if scheme != "unix" else 0, tls, timeout)
    if kind == "cluster":
        return ClusterServers(access, supervisor, _addresses(parts.hosts, 6379))
    if kind == "sentinel":
        return _behind_sentinels(parts, access, supervisor)
    if scheme == "unix":
        path = Endpoint("", 0, parts.path)
        return OneServer(access._replace(db=int(parts.options.get("db", 0))), supervisor, path)
    return OneServer(access, supervisor, _addresses(parts.hosts, 6379)[0])


def _behind_sentinels(parts: _Parts, access: Access, supervisor: Supervisor) -> SentinelServers:
    service, _, db = parts.path.strip("/").partition("/")
    options = parts.options
    inquiry = access._replace(
        username=options.get("sentinel_username", ""),
        password=options.get("sentinel_password", ""),
    )
    if db:
        access = access._replace(db=int(db))
    sentinels = _addresses(parts.hosts, 26379)
    return SentinelServers(access, supervisor, sentinels, service, inquiry)


def _parse(url: str) -> _Parts:
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return _Parts(
        hosts.split(","), unquote(parts.path), unquote(username), unquote(password), options
    )


def _addresses(hosts: list[str], default_port: int) -> list[Endpoint]:
    addresses = []
    for entry in hosts:
        parts = urlsplit(f"//{entry}")
        addresses.append(Endpoint(parts.hostname or "localhost", parts.port or default_port))
    return addresses


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_check_hostname", "").lower() in ("false", "no", "0"):
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(
            options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password")
        )
    return context
