"""Logging in at issuers as they are: what they claim and how, forged tokens, new keys, outages."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import ISSUER_REFUSALS
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.logins import Attempts
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.http import ask
from tests.login_rig import PAGE, Page, Person, check, key_of, start
from tests.mock_issuer import ANN, MockIssuer
from tests.openid_issuer import Missing

# One issuer under three names: for each, where its tokens say the roles of a user.
ROLES = {
    "Auth0": "https://api.imjoy.io/roles",
    "Keycloak": "realm_access.roles",
    "Client": "resource_access.hub.roles",
}
KEYCLOAK: dict[str, Any] = {
    **ANN,
    "typ": "ID",
    "azp": "hub",
    "aud": "hub",
    "preferred_username": "ann",
    "acr": "1",
    "sid": "0b5e",
    "realm_access": {"roles": ["offline_access", "admin"]},
    "resource_access": {"hub": {"roles": ["curator"]}, "account": {"roles": ["view-profile"]}},
}
AUTH0: dict[str, Any] = {
    **ANN,
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "nickname": "ann",
    "aud": ["hub", "https://hub.example.org/api"],
    "azp": "hub",
    "https://api.imjoy.io/roles": ["admin"],
}


class Lab(NamedTuple):
    """A hub whose users sign in at that issuer."""

    url: str
    issuer: MockIssuer
    gateway: Gateway

    async def log_in(self, person: Person, name: str = "Auth0") -> Page:
        """Where somebody comes to who signs in at the issuer of this name."""
        return await person.open(f"{self.url}/login/to/{name}")

    async def lets_in(self, name: str = "Auth0") -> bool:
        async with Person() as person:
            return (await self.log_in(person, name)).path == "/account"


@pytest.fixture(scope="module")
def issuer() -> Iterator[MockIssuer]:
    try:
        with MockIssuer() as issuer:
            yield issuer
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def running(
    issuer: MockIssuer, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """The hub that all tests of this module share."""
    folder = tmp_path_factory.mktemp("issuers")
    about = {"issuer": issuer.url, "client_id": "hub"}
    providers = [{**about, "name": name, "roles_claim": claim} for name, claim in ROLES.items()]
    (folder / "providers.json").write_text(json.dumps(providers))
    gateway = Gateway(
        folder / "gateway.log",
        redis_url=valkey_url,
        redis_prefix=f"issuers-{secrets.token_hex(4)}",
        login="openid",
        openid_issuer=issuer.url,
        openid_providers=str(folder / "providers.json"),
    )
    with gateway:
        yield Lab(gateway.url, issuer, gateway)


@pytest.fixture
def lab(running: Lab) -> Lab:
    running.issuer.says()
    return running


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    async with Person() as person:
        yield person


# What they claim.


@pytest.mark.parametrize(
    ("name", "claims", "user", "roles"),
    [
        ("Auth0", AUTH0, "auth0|5f7c8ec7c33c6c004bbafe82", ["admin"]),
        ("Keycloak", KEYCLOAK, "Keycloak|ann", ["offline_access", "admin"]),
        ("Client", KEYCLOAK, "Client|ann", ["curator"]),
    ],
)
async def test_a_program_is_let_in_as_whom_the_issuer_says(
    lab: Lab, person: Person, name: str, claims: dict[str, Any], user: str, roles: list[str]
) -> None:
    lab.issuer.says(**claims)
    started = await start(lab.url)
    key = key_of(started["login_url"])

    consent = await person.open(f"{lab.url}/login/to/{name}?key={key}")
    await person.answer(lab.url, consent)
    token = await check(lab.url, started["key"], 5)

    said = json.dumps({"token": token}).encode()
    service = f"{lab.url}/public/services/hypha-login"
    speaks_for = await ask(f"{service}/parse_token", said, Content_Type="application/json")
    assert speaks_for.value["id"] == user
    assert speaks_for.value["roles"] == roles
    assert speaks_for.value["email"] == "ann@example.org"


@pytest.mark.parametrize(
    "claims", [{"realm_access": "admin"}, {"realm_access": {"roles": "admin"}}]
)
async def test_roles_that_are_none_are_none(
    lab: Lab, person: Person, claims: dict[str, Any]
) -> None:
    lab.issuer.says(**claims)

    page = await lab.log_in(person, "Keycloak")

    assert page.path == "/account"
    assert "Roles" not in page


async def test_who_has_no_verified_address_is_told_so(lab: Lab, person: Person) -> None:
    lab.issuer.says(email_verified=False)

    page = await lab.log_in(person)

    assert (page.status, "is not verified at Auth0" in page) == (403, True)


# Tokens that are not what they should be.


NEXT_CENTURY = 4_102_444_800  # Unix time
SOON = 120  # seconds; more than clocks may differ by


@pytest.mark.parametrize(
    ("control", "status"),
    [
        ({"claims": ANN | {"aud": "another hub"}}, 401),
        ({"claims": ANN | {"aud": ["another", "hubs"]}}, 401),
        ({"claims": ANN | {"aud": ["hub", "other"], "azp": "other"}}, 401),
        ({"claims": ANN | {"iss": "https://elsewhere.example.org"}}, 401),
        ({"claims": ANN | {"nonce": "of another login"}}, 401),
        ({"claims": ANN, "without": ["nonce"]}, 401),
        ({"claims": ANN, "without": ["exp"]}, 401),
        ({"claims": ANN | {"sub": "root"}}, 401),
        ({"claims": ANN, "ttl": -SOON}, 401),
        ({"claims": ANN, "ttl": -1}, 401),
        ({"claims": ANN | {"nbf": NEXT_CENTURY}}, 401),
        ({"claims": ANN, "sign": "none"}, 401),
        ({"claims": ANN, "sign": "HS256"}, 401),
        ({"claims": ANN, "sign": "stranger", "kid": "first"}, 401),
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    lab: Lab, person: Person, control: dict[str, Any], status: int
) -> None:
    lab.issuer.is_told(**control)

    page = await lab.log_in(person)

    assert page.status == status, page.text
    assert "did not work" in page
    assert "Log in with Auth0" in await person.open(f"{lab.url}/account")
    lab.issuer.says()
    assert await lab.lets_in()  # somebody else, at the same moment


@pytest.mark.parametrize(("ahead", "lets_in"), [(20, True), (SOON, False)])
async def test_an_issuers_clock_may_be_a_little_ahead(
    lab: Lab, person: Person, ahead: float, lets_in: bool
) -> None:
    now = time.time()
    lab.issuer.says(iat=now + ahead, nbf=now + ahead)

    assert ((await lab.log_in(person)).path == "/account") is lets_in


# Keys and outages.


async def test_new_keys_are_taken_up_and_unknown_ones_are_not(lab: Lab) -> None:
    lab.issuer.is_told(rotate="second")
    lab.issuer.says()
    await eventually(lab.lets_in)  # the hub leaves an issuer alone for a while after a strange key

    lab.issuer.is_told(claims=ANN, sign="stranger", kid="nobody's")
    assert not await lab.lets_in()
    lab.issuer.says()
    assert await lab.lets_in()


async def test_an_issuer_that_goes_down_is_named_and_taken_up_again(
    lab: Lab, person: Person
) -> None:
    person.follows_redirects = False
    away = await person.open(f"{lab.url}/login/to/Auth0")
    back = await person.open(away.headers["location"])
    lab.issuer.kill()
    try:
        page = await person.open(back.headers["location"])
    finally:
        lab.issuer.start()
    assert (page.status, "Auth0 does not say who you are" in page) == (502, True)

    lab.issuer.is_told(rotate="third")  # as when it comes back from a backup
    lab.issuer.says()
    await eventually(lab.lets_in)


# The addresses that pages of the original ask.


async def test_the_original_pages_find_the_issuer_at_the_hub(lab: Lab, person: Person) -> None:
    query = "client_id=page&redirect_uri=http%3A%2F%2Fpage.example%2F&response_type=code&state=x"
    person.follows_redirects = False
    led = await person.open(f"{lab.url}/authorize?{query}")
    assert (led.status, led.headers["location"]) == (307, f"{lab.issuer.url}/authorize?{query}")
    back = await person.open(led.headers["location"])
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]

    form = {"grant_type": "authorization_code", "code": code, "client_id": "page"}
    async with httpx2.AsyncClient(trust_env=False) as page:
        answer = await page.post(f"{lab.url}/oauth/token", data=form)
        wrong = await page.post(
            f"{lab.url}/oauth/token", data={**form, "code_verifier": "x" * 43, "code": "nothing"}
        )
        secret = await page.post(f"{lab.url}/oauth/token", data={"grant_type": "password"})
        odd = await page.post(f"{lab.url}/oauth/token", json=form)

    assert answer.status_code == 200
    assert answer.json()["id_token"].count(".") == 2
    assert answer.headers["cache-control"] == "no-store"
    assert 400 <= wrong.status_code < 600
    assert secret.status_code == odd.status_code == 400
    assert "grant_type" in secret.json()["detail"]


async def test_who_tries_codes_out_is_refused_by_all_gateways(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> None:
    """Else the issuer shuts out the address of the hub, and nobody logs in any more."""
    settings: dict[str, str] = {"trusted_proxies": "203.0.113.0/24", "login": "openid"}
    settings |= {"openid_issuer": "http://127.0.0.1:1", "openid_client_id": "hub"}
    url = gateway_factory(**settings).url
    form = {"grant_type": "authorization_code", "code": "x"}
    refused = Attempts(redis_client, Keys(redis_prefix), ISSUER_REFUSALS, 600)
    async with httpx2.AsyncClient(trust_env=False) as page:
        before = await page.post(f"{url}/oauth/token", data=form)
        for _ in range(ISSUER_REFUSALS):
            await refused.count("redeem address 127.0.0.1")
        answer = await page.post(f"{url}/oauth/token", data=form)

    assert before.status_code != 429, "an issuer that is away refuses nothing"
    assert answer.status_code == 429
    assert "try again in 10 minutes" in answer.json()["detail"]


async def test_without_an_issuer_there_are_no_such_addresses(
    gateway_factory: GatewayFactory,
) -> None:
    url = gateway_factory().url

    answer = await ask(f"{url}/authorize?client_id=x")
    posted = await ask(f"{url}/oauth/token", b"grant_type=refresh_token")

    assert (answer.status, posted.status) == (404, 404)
    assert "--openid-issuer" in answer.value["detail"]


async def test_the_page_offers_each_of_them(lab: Lab, person: Person) -> None:
    page = await person.open(f"{lab.url}{PAGE}")

    for name in ROLES:
        assert f"Log in with {name}" in page
