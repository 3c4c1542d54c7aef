"""What proxies say is believed of those that are trusted."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from hypha_cluster.protocol.limits import PROXIES_TOLD
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


@pytest.mark.parametrize("said", ["1.2.3.4", "1.2.3.4:567", "[::1]:567"])
@pytest.mark.parametrize("client", ["93.184.216.34", "2001:db8::1", "nonsense"])
async def test_a_stranger_is_not(client: str, said: str) -> None:
    found = await seen(client, forwarded_for=said)

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
        ("93.184.216.34:567", "93.184.216.34"),
        ("[2001:db8::1]:567", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[::ffff:93.184.216.34]:5", "::ffff:93.184.216.34"),
        ("6.6.6.6:1, 93.184.216.34:65535, 10.0.0.7:80, [::1]:443", "93.184.216.34"),
        ("6.6.6.6, 93.184.216.34:", "10.0.0.1"),
        ("6.6.6.6, 93.184.216.34:port", "10.0.0.1"),
        ("6.6.6.6, 93.184.216.34:123456", "10.0.0.1"),
        ("6.6.6.6, [2001:db8::1", "10.0.0.1"),
        ("6.6.6.6, [2001:db8::1]x", "10.0.0.1"),
        ("6.6.6.6, [93.184.216.34]:٣", "10.0.0.1"),
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


async def logged(
    caplog: pytest.LogCaptureFixture, clients: list[str], headers: list[tuple[bytes, bytes]]
) -> list[str]:
    """What the operator is told when these ask, one after the other."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    forwarded = Forwarded(app, networks("private"))
    for client in clients:
        await ask(forwarded, client=(client, 5), headers=headers)
    return caplog.messages


async def test_the_operator_is_told_once_of_a_proxy_that_is_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = await logged(caplog, ["93.184.216.34"] * 3, [*SAID, (b"x-forwarded-for", b"1.2.3.4")])

    assert len(told) == 1
    assert "What 93.184.216.34 says in X-Forwarded-… is not believed" in told[0]
    assert "--trusted-proxies" in told[0]


async def test_and_of_one_that_does_not_say_for_whom_it_asks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = await logged(caplog, ["10.0.0.1", "10.0.0.1"], SAID)

    assert len(told) == 1
    assert "The proxy 10.0.0.1 does not say for whom it asks" in told[0]


async def test_nobody_fills_the_log_by_it(caplog: pytest.LogCaptureFixture) -> None:
    clients = [f"198.51.100.{number}" for number in range(100)]

    assert len(await logged(caplog, clients, SAID)) == PROXIES_TOLD


async def test_who_says_nothing_of_others_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert await logged(caplog, ["93.184.216.34", "10.0.0.1"], [(b"host", b"hub")]) == []
