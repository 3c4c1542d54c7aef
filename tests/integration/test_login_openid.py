"""Logging in at a certified OpenID provider: code flow with PKCE, each step at any gateway."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.integration.test_tokens import info_of
from tests.login_rig import PAGE, Page, Person, check, key_of, start
from tests.openid_issuer import Missing, free_port, issuer, sign_in

pytest_plugins = ["tests.login_fixtures"]


class Lab(NamedTuple):
    """A hub whose users sign in at an issuer."""

    url: str
    issuer: str
    gateway: Gateway


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def provider(ports: tuple[int, int]) -> Iterator[str]:
    try:
        with issuer(ports[0], f"http://127.0.0.1:{ports[1]}/login/callback") as url:
            yield url
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def lab(
    provider: str, ports: tuple[int, int], gateway_factory: GatewayFactory, tmp_path: Path
) -> Lab:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    gateway = gateway_factory(
        port=ports[1],
        login="openid",
        openid_issuer=provider,
        openid_client_id="hub",
        openid_secret_file=str(secret),
        openid_name="Lab",
        admins="ann@example.org",
    )
    return Lab(gateway.url, provider, gateway)


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    async with Person() as person:
        yield person


async def log_in(person: Person, lab: Lab, name: str, key: str = "") -> Page:
    page = await person.open(f"{lab.url}{PAGE}" + (f"?key={key}" if key else ""))
    assert "Log in with Lab" in page
    page = await person.open(f"{lab.url}/login/to/Lab?key={key}")
    assert page.url.startswith(lab.issuer)
    return await sign_in(person, page, name)


@pytest.mark.parametrize(("name", "roles"), [("ann", ["admin"]), ("bob", [])])
async def test_a_program_gets_a_token_of_the_hubs_own(
    lab: Lab, person: Person, name: str, roles: list[str]
) -> None:
    started = await start(lab.url)
    key = key_of(started["login_url"])

    consent = await log_in(person, lab, name, key)
    assert consent.url == f"{lab.url}{PAGE}?key={key}"
    assert f"{name}@example.org" in consent
    await person.answer(lab.url, consent)

    token = await check(lab.url, started["key"], 5)
    assert token.startswith(f"{name}@imjoy@")
    info = await info_of(lab.url, token=token)
    assert info["workspace"] == name
    assert info["user_info"]["email"] == f"{name}@example.org"
    assert info["user_info"]["roles"] == roles
    assert "hush" not in lab.gateway.log()


async def test_who_has_no_verified_address_is_told_so(lab: Lab, person: Person) -> None:
    page = await log_in(person, lab, "unverified")

    assert page.status == 403
    assert "unverified@example.org is not verified at Lab" in page
    assert "Log in with Lab" in await person.open(f"{lab.url}/account")


async def test_what_another_browser_has_begun_is_not_ended_here(lab: Lab, person: Person) -> None:
    """Else somebody could have others act in their own name."""
    async with Person(follow_redirects=False) as victim:
        back = await way_back(person, lab)

        page = await victim.open(back)

    assert page.status == 403
    assert "another browser" in page


async def test_a_way_back_is_gone_once(lab: Lab, person: Person) -> None:
    back = await way_back(person, lab)

    assert (await person.open(back)).path == "/account"
    assert (await person.open(back)).status == 404


async def way_back(person: Person, lab: Lab) -> str:
    """Sign in as ann, and stop where the issuer sends the browser back to the hub."""
    person.follows_redirects = False
    try:
        page = await person.open(f"{lab.url}/login/to/Lab")
        while "/login/callback" not in (location := str(page.headers.get("location", ""))):
            page = await step(person, page)
    finally:
        person.follows_redirects = True
    return location


async def step(person: Person, page: Page) -> Page:
    if "location" in page.headers:
        return await person.open(urljoin(page.url, page.headers["location"]))
    return await sign_in(person, page, "ann")


async def test_made_up_ways_back_let_nobody_in(lab: Lab, person: Person) -> None:
    back = await way_back(person, lab)
    query = parse_qs(urlsplit(back).query)
    state = query["state"][0]

    for made_up, status in (
        ("", 404),
        ("state=made-up&code=x", 404),
        (f"state={state}&error=access_denied", 403),
        (f"state={state}&code=x", 404),
    ):
        assert (await person.open(f"{lab.url}/login/callback?{made_up}")).status == status
    back = await way_back(person, lab)
    forged = back.replace(parse_qs(urlsplit(back).query)["code"][0], "forged")
    assert (await person.open(forged)).status == 502


async def test_there_is_no_password_to_log_in_with(lab: Lab, person: Person) -> None:
    assert "Password" not in await person.open(f"{lab.url}{PAGE}")
    fields = {"name": "ann", "password": "any"}
    assert (await person.send(f"{lab.url}/login/sign-in", fields)).status == 403
    assert "Become the admin" not in lab.gateway.log()


async def test_an_issuer_that_is_down_is_named(
    gateway_factory: GatewayFactory, person: Person
) -> None:
    url = gateway_factory(
        login="openid",
        openid_issuer=f"http://127.0.0.1:{free_port()}",
        openid_client_id="hub",
        openid_name="Lab",
    ).url

    page = await person.open(f"{url}/login/to/Lab")

    assert page.status == 502
    assert "Lab does not answer" in page
