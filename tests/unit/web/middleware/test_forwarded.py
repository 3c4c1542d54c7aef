"""What proxies say is believed of those that are trusted."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from hypha_cluster.web.middleware.forwarded import Forwarded, networks
from tests.unit.web.middleware.asgi import ask

SAID = [
    (b"host", b"hub"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"public.example.org"),
]


async def seen(
    client: str | None, *, trusted: str = "private", forwarded_for: str = ""
) -> dict[str, Any]:
    """What an application behind it sees."""
    found: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    added = [(b"x-forwarded-for", forwarded_for.encode())] if forwarded_for else []
    peer = (client, 5) if client is not None else None
    headers = [*SAID, *added]
    await ask(Forwarded(app, networks(trusted)), client=peer, headers=headers)
    return found


@pytest.mark.parametrize("client", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", None, ""])
async def test_a_proxy_of_ones_own_is_believed(client: str | None) -> None:
    assert (await seen(client))["headers"] == SAID


@pytest.mark.parametrize("client", ["93.184.216.34", "2001:db8::1", "nonsense"])
async def test_a_stranger_is_not(client: str) -> None:
    found = await seen(client, forwarded_for="1.2.3.4")

    assert found["headers"] == [(b"host", b"hub")]
    assert found["client"] == (client, 5)


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("93.184.216.34", "93.184.216.34"),
        ("6.6.6.6, 93.184.216.34", "93.184.216.34"),
        ("93.184.216.34, 10.0.0.7", "93.184.216.34"),
        ("10.0.0.9,10.0.0.7", "10.0.0.9"),
        ("nonsense, 93.184.216.34", "93.184.216.34"),
        ("nonsense", "10.0.0.1"),
        ("fe80::1%" + 64 * "x", "10.0.0.1"),  # Python reads names of networks of any length
    ],
)
async def test_where_a_request_comes_from_is_the_first_that_is_not_trusted(
    chain: str, address: str
) -> None:
    found = await seen("10.0.0.1", forwarded_for=chain)

    assert found["client"][0] == address


async def test_whom_to_trust_can_be_said() -> None:
    assert (await seen("93.184.216.34", trusted="93.184.216.0/24"))["headers"] == SAID
    assert (await seen("10.0.0.1", trusted="93.184.216.34"))["headers"] == SAID[:1]
    assert (await seen("10.0.0.1", trusted=""))["headers"] == SAID[:1]


@pytest.mark.parametrize("text", ["hub.example", "10.0.0.0/99", "private,x"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="network"):
        networks(text)
