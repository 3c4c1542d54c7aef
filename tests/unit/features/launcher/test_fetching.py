from typing import Any

import httpx2
import pytest

from hypha_cluster.errors import BadRequest, PermissionDenied, ProviderFailed
from hypha_cluster.features.launcher import fetching
from hypha_cluster.features.launcher.fetching import fetch, is_public, public_address


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1"),
        *("::127.0.0.1", "::1.1.1.1", "64:ff9b:1::7f00:1", "64:ff9b:1::101:101", "fec0::1"),
        *("::ffff:0:127.0.0.1", "100::1", "5f00::1", "3fff::1"),
    ],
)
def test_what_not_everybody_reaches_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_what_everybody_reaches_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "169.254.169.254", "[::1]", "0x7f.1"])
async def test_a_host_of_this_machine_has_no_address(host: str) -> None:
    with pytest.raises((PermissionDenied, ProviderFailed)):
        await public_address(host.strip("[]"), 443)


async def test_what_is_this_machine_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "is_public", lambda address: True)

    assert fetching.is_own("127.0.0.1")
    assert not fetching.is_own("192.0.2.1")
    with pytest.raises(PermissionDenied, match="is this machine"):
        await public_address("127.0.0.1", 443)


@pytest.mark.parametrize(
    "url",
    [
        *("https://[foo/", "https://[::1/", "https://h:99999/", "https://h:x/", "https://h:-1/"),
        *("https://h\u2100/", "https://h/\x00"),
    ],
)
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="no address of a source"):
        await fetch(url, 10)


@pytest.mark.parametrize(
    "location", [None, "https://[foo/", "https://h:99999/", "http://x/", "https://h/\x01"]
)
async def test_what_leads_nowhere_is_refused(
    location: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {} if location is None else {"Location": location}

    async def address(host: str, port: int) -> str:
        return "192.0.2.1"

    def client(**_: Any) -> httpx2.AsyncClient:
        answer = httpx2.Response(302, headers=headers)
        return real(transport=httpx2.MockTransport(lambda _: answer))

    real = httpx2.AsyncClient
    monkeypatch.setattr(fetching, "public_address", address)
    monkeypatch.setattr(httpx2, "AsyncClient", client)

    with pytest.raises((BadRequest, ProviderFailed)):
        await fetch("https://example.org/", 10)


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://x", "https:///a"])
async def test_only_https_is_fetched(url: str) -> None:
    with pytest.raises(BadRequest, match="Only https sources are allowed"):
        await fetch(url, 10)
