import pytest

from hypha_cluster.errors import BadRequest, PermissionDenied, ProviderFailed
from hypha_cluster.features.launcher.fetching import fetch, is_public, public_address


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1"),
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


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://x", "https:///a"])
async def test_only_https_is_fetched(url: str) -> None:
    with pytest.raises(BadRequest, match="Only https sources are allowed"):
        await fetch(url, 10)
