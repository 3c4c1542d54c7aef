"""The keys of an issuer: which issuers can be used, and when their keys are fetched."""

import asyncio

import pytest
from jose import jwk
from jose.backends.base import Key

from hypha_cluster.config import Config
from hypha_cluster.errors import InvalidToken, StartupError
from hypha_cluster.identity import openid
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.supervision import Supervisor

KEY = jwk.construct("stands for a public one", "HS256")


class Issuer:
    """What is fetched, and how often; None: nothing comes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.kids: tuple[str, ...] | None = ("one",)
        self.asked = 0

    async def fetch(self, issuer: str) -> dict[tuple[str, str], Key]:
        self.asked += 1
        if self.kids is None:
            raise OSError("unplugged")
        return {(kid, openid.RS256): KEY for kid in self.kids}


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    issuer = Issuer()
    monkeypatch.setattr(openid, "_fetch_keys", issuer.fetch)
    return issuer


@pytest.fixture
def keys(issuer: Issuer) -> OpenIdKeys:
    return OpenIdKeys("https://issuer.example.org/", Supervisor(), lambda: issuer.now)


@pytest.mark.parametrize(
    "url",
    [
        Config(auth0_domain="hub.auth0.com").token_issuer,
        "https://issuer.example.org/realms/lab",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://localhost/",
    ],
)
def test_an_issuer_is_reached_by_https_or_on_this_machine(url: str) -> None:
    assert OpenIdKeys(url, Supervisor()).issuer == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example.org",
        "http://issuer.example.org/",
        "http://localhost.example.org/",
        "http://127.0.0.1@example.org/",
        "http://10.0.0.1/",
        "https://",
        "https://[bad/",
        "https://me:hush@issuer.example.org/",
        "https://issuer.example.org/?a=b",
        "https://issuer.example.org/#a",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
    ],
)
def test_another_issuer_stops_the_node(url: str) -> None:
    with pytest.raises(StartupError, match="issuer") as refused:
        OpenIdKeys(url, Supervisor())

    assert "hush" not in str(refused.value)


def test_nobody_elses_issuer_is_trusted_until_one_is_named() -> None:
    assert Config().token_issuer == ""
    assert Config(auth0_domain="").token_issuer == ""


def test_the_issuer_is_named_by_its_address_or_as_a_tenant_of_auth0() -> None:
    assert Config(auth0_domain="hub.auth0.com").token_issuer == "https://hub.auth0.com/"
    assert Config(openid_issuer="https://a.org/b").token_issuer == "https://a.org/b"
    both = Config(auth0_domain="hub.auth0.com", openid_issuer="https://a.org/b")
    assert both.token_issuer == "https://a.org/b"


async def test_keys_are_fetched_again_every_ten_minutes(keys: OpenIdKeys, issuer: Issuer) -> None:
    for issuer.now in range(0, 1801, 100):
        assert await keys.find("one", openid.RS256) is KEY

    assert issuer.asked == 4


async def test_a_key_serves_one_algorithm(keys: OpenIdKeys) -> None:
    with pytest.raises(InvalidToken):
        await keys.find("one", openid.ES256)


async def test_an_issuer_without_an_answer_is_left_alone(keys: OpenIdKeys, issuer: Issuer) -> None:
    issuer.kids = None

    for issuer.now in range(30):
        with pytest.raises(InvalidToken):
            await keys.find("one", openid.RS256)

    assert issuer.asked == 3


async def test_old_keys_are_better_than_none(keys: OpenIdKeys, issuer: Issuer) -> None:
    await keys.find("one", openid.RS256)
    issuer.kids = None

    for issuer.now in range(600, 630):
        assert await keys.find("one", openid.RS256) is KEY

    assert issuer.asked == 4


async def test_made_up_ids_do_not_put_off_the_next_fetch(keys: OpenIdKeys, issuer: Issuer) -> None:
    await keys.find("one", openid.RS256)
    for issuer.now in range(10):
        with pytest.raises(InvalidToken):
            await keys.find("made up", openid.RS256)

    issuer.kids, issuer.now = ("two",), 10

    assert await keys.find("two", openid.RS256) is KEY
    assert issuer.asked == 3


async def test_a_node_that_stops_waits_for_no_issuer(keys: OpenIdKeys) -> None:
    waiting = asyncio.create_task(keys.find("one", openid.RS256))
    await asyncio.sleep(0)

    await keys.stop()

    with pytest.raises(asyncio.CancelledError):
        await waiting
