"""What pages and proxies need: slashes at the end, and origins."""

import http.client
import urllib.parse
from typing import NamedTuple

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Hub
from tests.http import ask
from tests.raw_client import RawClient

ORIGIN = {"Origin": "https://page.example"}
PREFLIGHT = {**ORIGIN, "Access_Control_Request_Method": "POST"}
ALLOWS = "access-control-allow-private-network"


class Redirect(NamedTuple):
    """An answer that leads elsewhere, which nobody has followed."""

    status: int
    location: str


def lead(url: str, method: str = "GET", **headers: str) -> Redirect:
    target = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=30 * SECOND)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, url.removeprefix(f"http://{target.netloc}"), headers=named)
    answer = connection.getresponse()
    connection.close()
    return Redirect(answer.status, answer.headers.get("location", ""))


# Slashes.


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/public/services/", "../services"),
        ("/public/services/?a=1&b=%2F", "../services?a=1&b=%2F"),
        ("/public/services/client:name/", "../client%3Aname"),
        ("/public/services/a%20b/hello/?x=1", "../hello?x=1"),
        ("/public/services/na%C3%AFve/", "../na%C3%AFve"),
        ("/health/ready/", "../ready"),
    ],
)
def test_a_slash_too_much_leads_to_where_there_is_none(
    hub: Hub, method: str, path: str, location: str
) -> None:
    """The way is relative: by which scheme, host and prefix the hub is reached a proxy knows."""
    proxied = {"Host": "inner:9000", "X_Forwarded_Proto": "https"}

    redirect = lead(hub.first + path, method, **proxied)

    assert redirect == (307, location)
    expected = path.replace("/?", "?").removesuffix("/").replace(":", "%3A")
    joined = urllib.parse.urljoin(f"https://hub.example/prefix{path}", redirect.location)
    assert joined == f"https://hub.example/prefix{expected}"


@pytest.mark.parametrize(
    "path", ["/nowhere/", "/public/", "//", "/public/services//", "/a/b/c/d/e/"]
)
def test_a_slash_leads_nowhere_where_nothing_is(hub: Hub, path: str) -> None:
    assert lead(hub.first + path).status == 404


async def test_a_redirect_is_followed_to_the_answer(hub: Hub) -> None:
    """In a workspace of one's own, where nobody else comes or goes."""
    async with await RawClient.connect(hub.first) as client:
        await client.offer("echo", "public")
        listed = (await ask(f"{hub.first}/{client.workspace}/services/")).value

        assert [info["id"] for info in listed] == [f"{client.client_id}:echo"]
        assert listed == (await ask(f"{hub.first}/{client.workspace}/services")).value


def test_below_a_base_path_it_is_the_same(gateway_factory: GatewayFactory) -> None:
    url = gateway_factory(base_path="/hub").url

    assert lead(f"{url}/hub/public/services/?a=1") == (307, "../services?a=1")
    assert lead(f"{url}/hub?a=1") == (307, "./hub/?a=1")
    assert lead(f"{url}/hub/").status == 200
    assert lead(f"{url}/hub/nowhere/").status == 404


# Origins.


async def test_a_page_may_ask_a_hub_on_its_own_machine(hub: Hub) -> None:
    """A browser asks before it lets a page of the internet call into a private network."""
    url = f"{hub.first}/public/services"

    private = await ask(
        url, method="OPTIONS", **PREFLIGHT, Access_Control_Request_Private_Network="true"
    )
    plain = await ask(url, method="OPTIONS", **PREFLIGHT)

    assert (private.status, private.headers[ALLOWS]) == (200, "true")
    assert private.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert plain.status == 200
    assert ALLOWS not in plain.headers


async def test_a_page_that_may_not_ask_may_not_there_either(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory(allow_origins="https://other.example")

    answer = await ask(
        f"{gateway.url}/public/services",
        method="OPTIONS",
        **PREFLIGHT,
        Access_Control_Request_Private_Network="true",
    )

    assert answer.status == 400
    assert "access-control-allow-origin" not in answer.headers
