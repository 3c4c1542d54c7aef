"""What the URL of a Redis says."""

import ssl

import pytest

from hypha_cluster.links.link import Endpoint
from hypha_cluster.links.servers import ClusterServers, OneServer, SentinelServers, slot_of
from hypha_cluster.links.urls import find_servers


@pytest.mark.parametrize(
    ("url", "address", "username", "password", "db"),
    [
        ("redis://host", Endpoint("host", 6379), "", "", 0),
        ("redis://u:p@host:7000/3", Endpoint("host", 7000), "u", "p", 3),
        ("redis://:p%40ss@[::1]:7000?db=2", Endpoint("::1", 7000), "", "p@ss", 2),
        ("unix:///run/my%20redis.sock?db=1", Endpoint("", 0, "/run/my redis.sock"), "", "", 1),
        ("redis://host?username=u&password=p", Endpoint("host", 6379), "u", "p", 0),
    ],
)
def test_one_server(url: str, address: Endpoint, username: str, password: str, db: int) -> None:
    servers = find_servers(url, 5.0)

    assert isinstance(servers, OneServer)
    assert servers.server_of(0) == address
    assert servers.access[:3] == (username, password, db)
    assert servers.access.tls is None


def test_a_master_behind_sentinels() -> None:
    servers = find_servers("redis+sentinel://u:p@one,two:7000/main/4?sentinel_password=s", 5.0)

    assert isinstance(servers, SentinelServers)
    assert servers.access[:3] == ("u", "p", 4)
    assert list(servers.in_use()) == []
    assert servers.needs_role


def test_a_cluster() -> None:
    servers = find_servers("rediss+cluster://one:7000,two:7001", 5.0)

    assert isinstance(servers, ClusterServers)
    assert servers.is_cluster
    assert servers.access.tls is not None


def test_certificates_are_verified_unless_that_is_turned_off() -> None:
    strict = find_servers("rediss://host", 5.0).access.tls
    lax = find_servers("rediss://host?ssl_cert_reqs=none", 5.0).access.tls

    assert strict is not None
    assert lax is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("url", ["redis://host:port", "redis://host?db=x"])
def test_what_makes_no_sense_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="port|invalid literal"):
        find_servers(url, 5.0)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),
        (b"p:{123456789}/client", 0x31C3),
        (b"{}x{123456789}", 2145),
        (b"a{", 14311),
    ],
)
def test_a_slot_depends_on_the_hash_tag(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot
