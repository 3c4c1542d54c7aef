"""What somebody may try with tokens and names that are not theirs; their victim goes on working.

Each is tried by every way in and at both gateways of a hub; the victim is at the second.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Place
from tests.conformance.python_scene import eventually
from tests.gateways import Gateway, Value
from tests.http import ask
from tests.metrics import metric
from tests.raw_client import RawClient, Rejected
from tests.sse_client import Refused, SseClient
from tests.token_rig import BAD, SECRET, token_of, tokens_of

ANN: Final = Identity("ann", False, "ann@example.org")
MALLORY: Final = Identity("mallory", False, "mallory@example.org")
LOGIN: Final = "services.hypha-login"


@pytest.fixture(scope="module")
def urls(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    logs = tmp_path_factory.mktemp("tokens")
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": f"tokens-{secrets.token_hex(4)}",
        "jwt_secret": SECRET,
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(Gateway(logs / f"{name}.log", **settings)) for name in "ab"
        )
        yield first.url, second.url


@dataclass
class Victim:
    """Ann, who has something for her workspace alone."""

    urls: tuple[str, str]
    client: RawClient
    friend: RawClient  # in the same workspace, at the other gateway

    @property
    def workspace(self) -> str:
        return self.client.workspace

    async def goes_on(self) -> None:
        """Her service is there, for those who may, and nobody else has reached it."""
        reached = [got for got in self.client.received if got.method == "services.closed.work"]
        assert {got.source for got in reached} <= {self.friend.address}
        assert await self.friend.call(self.client.address, "services.closed.work") == "done"


@pytest.fixture
async def victim(urls: tuple[str, str]) -> AsyncIterator[Victim]:
    async with AsyncExitStack() as stack:
        client, friend = [
            await stack.enter_async_context(await RawClient.connect(url, token=token_of(ANN)))
            for url in reversed(urls)
        ]
        await client.offer("closed", work=lambda *_: "done")
        found = Victim(urls, client, friend)
        yield found
        await found.goes_on()


# Every way in, by a token.


async def connects(url: str, workspace: str, token: str) -> bool:
    try:
        await (await RawClient.connect(url, token=token, workspace=workspace)).close()
    except InvalidStatus as refused:
        if refused.response.status_code != 403:
            raise
        return False
    return True


async def streams(url: str, workspace: str, token: str) -> bool:
    try:
        await (await SseClient.connect(url, token=token, workspace=workspace)).close()
    except Refused as refused:
        if refused.status not in (401, 403):
            raise
        return False
    return True


async def calls(url: str, workspace: str, token: str) -> bool:
    return await gets(f"{url}/{workspace}/services/closed/work", token)


async def calls_by_the_old_address(url: str, workspace: str, token: str) -> bool:
    query = f"workspace={workspace}&service_id=closed&function_key=work"
    return await gets(f"{url}/services/call?{query}", token)


async def reads(url: str, workspace: str, token: str) -> bool:
    return await gets(f"{url}/{workspace}/info", token)


async def opens_an_application(url: str, workspace: str, token: str) -> bool:
    return await gets(f"{url}/{workspace}/apps/closed/", token)


async def gets(url: str, token: str) -> bool:
    try:
        authorization = f"Bearer {token}".encode("latin-1").decode("latin-1")
        answer = await ask(url, Authorization=authorization)
    except ValueError:  # no header can have it
        return False
    assert answer.status in (200, 400, 401, 403, 404, 431), answer
    return answer.status in (200, 404)


Way = Callable[[str, str, str], Awaitable[bool]]
WAYS: Final[list[Way]] = [
    connects,
    streams,
    calls,
    calls_by_the_old_address,
    reads,
    opens_an_application,
]


async def ways_that_take(victim: Victim, token: str) -> list[str]:
    """At which gateways a token opens Ann's workspace by which ways."""
    return [
        f"{way.__name__} at {number}"
        for number, url in enumerate(victim.urls)
        for way in WAYS
        if await way(url, victim.workspace, token)
    ]


async def test_the_victims_own_token_opens_all(victim: Victim) -> None:
    """Else the others would show nothing."""
    reached = len(victim.client.received)
    taken = await ways_that_take(victim, token_of(ANN))
    del victim.client.received[reached:]

    assert len(taken) == len(WAYS) * len(victim.urls)


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_opens_nothing(victim: Victim, name: str) -> None:
    token = BAD[name].encode("utf-8", "surrogateescape").decode("latin-1")

    assert await ways_that_take(victim, token) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: tokens_of("of another hub").issue(ANN),
        lambda: tokens_of().issue(ANN, -1),
        lambda: token_of(MALLORY),
        lambda: token_of(Identity("x", parent="nobody", scopes=("ann",))),
        lambda: token_of(Identity("x", parent="mallory", scopes=("bob",))),
        lambda: "",
        lambda: "~ticket",
        lambda: "~" + secrets.token_urlsafe(24),
        lambda: f"{token_of(ANN)}.",
        lambda: token_of(ANN)[:-1],
        lambda: token_of(ANN).replace(".", ".."),
        lambda: token_of(ANN).upper(),
    ],
    ids=[
        *("another hub's", "expired", "another user's", "of a maker that nobody knows"),
        *("for another workspace", "none", "a ticket that is none", "a ticket made up"),
        *("with a dot more", "cut off", "with dots twice", "in capitals"),
    ],
)
async def test_nor_does_one_of_another_kind(victim: Victim, make: Callable[[], str]) -> None:
    assert await ways_that_take(victim, make()) == []


async def test_a_token_for_coming_back_opens_nothing(victim: Victim) -> None:
    back = victim.client.info["reconnection_token"]

    for token in (back, f"ann@imjoy@{back}"):
        assert await ways_that_take(victim, token) == []


async def test_a_key_of_a_login_is_no_token(victim: Victim) -> None:
    started = (await ask(f"{victim.urls[0]}/public/services/hypha-login/start")).value

    assert await ways_that_take(victim, started["key"]) == []


async def test_what_was_revoked_opens_nothing_by_any_way(victim: Victim) -> None:
    """A token that was stolen, and is ended by who has it, with those that were made of it."""
    stolen = token_of(ANN)
    async with await RawClient.connect(victim.urls[0], token=stolen) as thief:
        child = await thief.manager("generate_token")
        assert len(await ways_that_take(victim, child)) == len(WAYS) * 2
        victim.client.received.clear()
        url = f"{victim.urls[1]}/public/services/hypha-login/revoke_token"
        body = json.dumps({"token": stolen}).encode()
        assert (await ask(url, body, Content_Type="application/json")).status == 200
        assert await thief.closed() == 1000

    async def is_over() -> bool:
        return not [
            taken for token in (stolen, child) for taken in await ways_that_take(victim, token)
        ]

    await eventually(is_over)
    victim.client.received.clear()
    back = {"reconnection_token": thief.info["reconnection_token"], "workspace": "ann"}
    for url in victim.urls:
        with pytest.raises(InvalidStatus):
            await RawClient.connect(url, thief.client_id, **back)


# Names.


async def test_a_token_for_coming_back_is_of_no_use_when_its_client_has_left(
    victim: Victim,
) -> None:
    """Whoever has found it in a log, say, replays it."""
    async with await RawClient.connect(victim.urls[0], token=token_of(ANN)) as leaving:
        found = {"workspace": "ann", "reconnection_token": leaving.info["reconnection_token"]}

    async def is_gone() -> bool:
        return leaving.client_id not in await victim.friend.manager("list_clients")

    await eventually(is_gone)
    for url in victim.urls:
        with pytest.raises(InvalidStatus):
            await RawClient.connect(url, leaving.client_id, **found)


async def connections(url: str) -> float:
    return await asyncio.to_thread(metric, url, "hypha_connections")


async def test_nobody_takes_the_place_of_a_client_that_broke_off(victim: Victim) -> None:
    """Not even who may enter its workspace: it comes back, to its services and its mail."""
    name = f"square-{secrets.token_hex(3)}"
    open_to_all = {"name": name, "owners": [], "visibility": "public", "deny_list": ["nobody"]}
    await victim.client.manager("create_workspace", open_to_all)
    at_it = {"workspace": name}
    async with (
        await RawClient.connect(victim.urls[1], token=token_of(MALLORY), **at_it) as mallory,
        await RawClient.connect(victim.urls[1], token=token_of(ANN), **at_it) as mate,
    ):
        mine = await RawClient.connect(victim.urls[0], token=token_of(ANN), **at_it)
        await mine.offer("tool", work=lambda *_: "mine")
        before = await connections(victim.urls[0])
        mine.break_off()
        await mine.closed()

        async def is_suspended() -> bool:
            return await connections(victim.urls[0]) < before

        await eventually(is_suspended)
        await mate.send(
            {"type": "method", "to": mine.address, "method": "services.tool.work"}, {"args": [7]}
        )

        for url in victim.urls:
            for query in ({"token": token_of(MALLORY)}, {}):
                with pytest.raises(InvalidStatus):
                    await RawClient.connect(url, mine.client_id, **at_it, **query)
                with pytest.raises(Refused):
                    await SseClient.connect(url, mine.client_id, **at_it, **query)

        back = {"reconnection_token": mine.info["reconnection_token"]}
        async with await RawClient.connect(
            victim.urls[1], mine.client_id, **at_it, **back
        ) as again:
            await again.until(lambda got: got.args == [7])
            again.functions |= mine.functions
            assert await mallory.call(mine.address, "services.tool.work") == "mine"


async def test_nobody_squats_on_the_services_of_the_hub(victim: Victim) -> None:
    """Whoever asks for the hub's own gets the hub's, by every way, whatever others offer."""
    names = ("hypha-login", "default", "workspace-manager")
    async with await RawClient.connect(victim.urls[0]) as squatter:
        infos = [
            {"id": f"{squatter.client_id}:{name}", "config": {"visibility": "public"}}
            for name in names
        ]
        squatter.functions["services.built-in.get_service"] = lambda name: {"id": name}
        about = {"id": squatter.client_id, "services": infos}
        await squatter.manager("update_client_info", about)
        for path in ("start", "check", "report", "revoke_token", "index"):
            squatter.functions[f"services.hypha-login.{path}"] = lambda *_: "evil"

        found = await victim.friend.manager("get_service", "public/*:hypha-login")
        assert found["start"]["_rtarget"] == "public/workspace-manager"
        own = await victim.friend.manager("get_service", "default")
        assert own is None or "evil" not in str(own)
        for url in victim.urls:
            started = (await ask(f"{url}/public/services/hypha-login/start")).value
            assert started["login_url"].startswith(url)
            page = await ask(f"{url}/public/apps/hypha-login/")
            assert (page.status, b"evil" in page.body) == (200, False)
            old = f"{url}/services/call?service_id=hypha-login&workspace=public&function_key=start"
            assert (await ask(old)).value["key"]
        assert not [got for got in squatter.received if got.method.startswith(LOGIN)]


async def test_nobody_squats_on_the_services_of_a_workspace(victim: Victim) -> None:
    """A name with the workspace before it is found there alone, and one's own comes first."""
    async with await RawClient.connect(victim.urls[0]) as squatter:
        offered = await squatter.offer("closed", "public", work=lambda *_: "evil")

        found = await victim.friend.manager("get_service", "closed")
        assert found["work"]["_rtarget"] == victim.client.address
        named = await victim.friend.manager("get_service", "ann/*:closed")
        assert named["work"]["_rtarget"] == victim.client.address
        theirs = await victim.friend.manager("get_service", offered)
        assert theirs["work"]["_rtarget"] == squatter.address  # who asks for it gets it
        for service in (
            f"{victim.client.client_id}:closed",
            f"ann/{victim.client.client_id}:closed",
            f"{victim.client.address}:other",
        ):
            info = {"id": service, "config": {"visibility": "public"}}
            with pytest.raises(Rejected):
                await squatter.manager(
                    "update_client_info", {"id": squatter.client_id, "services": [info]}
                )
        await squatter.offer("newer", "public", work=lambda *_: "evil")
        assert await victim.friend.manager("get_service", "ann/*:newer") is None


async def test_who_a_token_is_for_is_not_changed_by_what_stands_beside_it(victim: Victim) -> None:
    """A query has only so many names; the last of several counts, and nobody else's."""
    mine, theirs = token_of(MALLORY), token_of(ANN).rpartition(".")[0] + ".AAAA"
    for url in victim.urls:
        for query in (
            {"token": mine, "user": "ann", "parent": "ann", "roles": "admin", "scopes": "ann"},
            {"token": mine, "workspace": "ann", "reconnection_token": theirs},
            {"token": theirs},
        ):
            try:
                client = await RawClient.connect(url, **query)
            except InvalidStatus:
                continue
            async with client:
                assert (client.workspace, client.user["id"]) == ("mallory", "mallory")
                assert client.user["roles"] == []


async def test_a_place_for_coming_back_that_was_made_up_is_none(victim: Victim) -> None:
    """Signed with another secret, or for another run of the program, or over."""
    place = Place("ann", victim.client.client_id, "another run")
    forged = [
        tokens_of("another").issue_reconnection(ANN, place),
        tokens_of().issue_reconnection(MALLORY, place),
        victim.client.info["reconnection_token"][:-2],
    ]
    for url in victim.urls:
        for token in forged:
            query: dict[str, Any] = {"workspace": "ann", "reconnection_token": token}
            with pytest.raises((InvalidStatus, TimeoutError)):
                async with asyncio.timeout(10):
                    await RawClient.connect(url, victim.client.client_id, **query)
