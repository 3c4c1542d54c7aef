"""Functions that travel: nobody is led by one to what its sender may not reach."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

from tests.gateways import Hub
from tests.python_client import NEWEST, OLDEST, Local, PythonClient
from tests.raw_client import CACHE, MANAGER, RawClient, Rejected, call_envelope, frame, promise_of

Leads = Callable[[dict[str, Any]], list[Any]]


def function(target: str, method: str = "services.closed.delete") -> dict[str, Any]:
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": True}


@pytest.fixture
async def outsider(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as client:
        yield client


class Cache:
    """The message cache of a client that takes chunks as the published ones do."""

    def __init__(self, client: RawClient) -> None:
        self.entries: dict[str, bytes] = {}
        self.processed: list[bytes] = []
        client.functions[CACHE + "create"] = lambda key, *_: self.entries.update({key: b""})
        client.functions[CACHE + "append"] = self.append
        client.functions[CACHE + "process"] = self.process
        client.functions[CACHE + "remove"] = lambda key, *_: self.entries.pop(key, None)

    def append(self, key: str, data: bytes, *_: Any) -> None:
        self.entries[key] += data

    def process(self, key: str, *_: Any) -> None:
        self.processed.append(self.entries.pop(key))


@pytest.fixture
async def victim(hub: Hub) -> AsyncIterator[RawClient]:
    """Offers something to everybody, and has something that is for its workspace only."""
    async with await RawClient.connect(hub.second) as client:
        await client.offer("open", "public", work=lambda *_: "done")
        await client.offer("closed", delete=lambda *_: "deleted")
        services = [
            {"id": f"{client.client_id}:{name}", "config": {"visibility": visibility}}
            for name, visibility in (("open", "public"), ("closed", "protected"))
        ]
        await client.manager("update_client_info", {"id": client.client_id, "services": services})
        yield client


async def send_in_chunks(client: RawClient, to: str, parts: list[bytes]) -> None:
    await client.cache(to, "create", "k", False)
    for part in parts:
        await client.cache(to, "append", "k", part, False)
    await client.cache(to, "process", "k", False)


async def colleague_of(client: RawClient, url: str) -> RawClient:
    token = await client.manager("generate_token")
    return await RawClient.connect(url, workspace=client.workspace, token=token)


WAYS: Final[dict[str, Leads]] = {
    "an argument": lambda f: [2, f],
    "a keyword": lambda f: [{"callback": f}],
    "nested": lambda f: [{"a": [{"b": [f]}]}],
    "part of a file": lambda f: [{"_rtype": "iostream", "_rnative": "js:blob", "read": f}],
    "in another order": lambda f: [dict(reversed(f.items()))],
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_argument_leads_to_what_is_protected_elsewhere(
    outsider: RawClient, victim: RawClient, way: str
) -> None:
    arguments = WAYS[way](function(victim.address))
    envelope = call_envelope(victim.address, "services.open.work")

    await outsider.send(envelope, {"args": arguments, "with_kwargs": way == "a keyword"})
    with pytest.raises(Rejected, match="closed|function"):
        await outsider.call(victim.address, "services.open.work", *arguments)

    assert await outsider.call(victim.address, "services.open.work", "still there?") == "done"
    assert [r.args for r in victim.received if r.source == outsider.address] == [["still there?"]]


@pytest.mark.parametrize(
    "method",
    [
        "services.closed.delete",
        "services.built-in.register_service",
        "services.built-in.message_cache.process",
        "services.built-in.get_service",
        "services.unheard_of.f",
        "services.default.generate_token",
    ],
)
@pytest.mark.parametrize("to", ["victim", "colleague", "manager", "nobody", "node"])
async def test_only_public_services_of_clients_may_be_passed_on(
    hub: Hub, outsider: RawClient, victim: RawClient, method: str, to: str
) -> None:
    async with await colleague_of(victim, hub.first) as colleague:
        addresses = {
            "victim": victim.address,
            "colleague": colleague.address,
            "manager": f"{victim.workspace}/{MANAGER}",
            "nobody": f"{victim.workspace}/nobody",
            "node": f"{victim.workspace}/~gateway",
        }

        with pytest.raises(Rejected, match="not public"):
            await outsider.call(
                victim.address, "services.open.work", function(addresses[to], method)
            )


async def test_the_name_of_a_workspace_is_not_taken_for_a_clients(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    name = victim.client_id  # clients since 0.5.59 take that of the sender's workspace as it is
    await outsider.manager("create_workspace", {"name": name, "owners": [], "visibility": "public"})
    token = await outsider.manager("generate_token", {"scopes": [name]})
    async with await RawClient.connect(hub.first, workspace=name, token=token) as namesake:
        with pytest.raises(Rejected, match="not public"):
            await namesake.call(victim.address, "services.open.work", function(name))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [3, 40, 100_000])
async def test_no_argument_in_chunks_does_either(
    outsider: RawClient, victim: RawClient, way: str, cut: int
) -> None:
    cache = Cache(victim)
    arguments = WAYS[way](function(victim.address))
    message = frame(call_envelope(victim.address, "services.open.work"), {"args": arguments})

    parts = [message[start : start + cut] for start in range(0, len(message), cut)]

    with pytest.raises(Rejected, match="closed|function"):
        await send_in_chunks(outsider, victim.address, parts)

    assert cache.processed == []


async def test_a_reply_leads_nobody_to_what_is_protected_at_home(
    outsider: RawClient, victim: RawClient
) -> None:
    await outsider.offer("lure", "public", f=lambda: {"deep": [function(victim.address)]})

    with pytest.raises(Rejected, match="not public"):
        await victim.call(outsider.address, "services.lure.f")


@pytest.mark.parametrize("way", ["through the hub", "directly"])
@pytest.mark.parametrize("deep", [False, True])
async def test_a_fetched_service_leads_nobody_to_what_is_protected_at_home(
    outsider: RawClient, victim: RawClient, way: str, deep: bool
) -> None:
    full_id = await outsider.offer("lure", "public", f=lambda: 1)
    leads = function(victim.address)
    lure = {
        "id": "lure",
        "config": {"visibility": "public"},
        "f": {"g": [leads]} if deep else leads,
    }
    outsider.functions["services.built-in.get_service"] = lambda *_: lure

    if way == "directly":
        fetching = victim.call(outsider.address, "services.built-in.get_service", "lure")
    else:
        fetching = victim.manager("get_service", full_id)
    with pytest.raises(Rejected, match="not public|another workspace"):
        await fetching


async def test_a_fetched_service_does_not_even_lead_to_public_ones_elsewhere(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    async with await RawClient.connect(hub.first) as third:
        await third.offer("open", "public", f=lambda: 1)
        full_id = await outsider.offer("lure", "public", f=lambda: 1)
        lure = {"id": "lure", "f": function(third.address, "services.open.f")}
        outsider.functions["services.built-in.get_service"] = lambda *_: lure

        with pytest.raises(Rejected, match="another workspace"):
            await victim.manager("get_service", full_id)


# What programs do.


async def test_ones_own_functions_are_passed_on(outsider: RawClient, victim: RawClient) -> None:
    own = [
        function(target, method)
        for target in (outsider.address, outsider.client_id)
        for method in ("3jNv.progress", "services.mine.f", "services.built-in.ping")
    ]

    assert await outsider.call(victim.address, "services.open.work", own, cb=own[0]) == "done"
    received = await victim.until(lambda r: r.method == "services.open.work")
    assert received.args == [own, {"cb": own[0]}]


async def test_functions_of_ones_own_workspace_are_passed_on(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    async with await colleague_of(outsider, hub.second) as colleague:
        theirs = [function(colleague.address), function(colleague.client_id), function(MANAGER)]

        assert await outsider.call(victim.address, "services.open.work", theirs) == "done"


async def test_functions_of_public_services_are_passed_on(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    async with await RawClient.connect(hub.first) as third:
        await third.offer("open", "public", f=lambda: 1)
        theirs = [
            function(third.address, "services.open.f"),
            {**function(victim.address, "services.open.work.deeper"), "_rdoc": "It works."},
        ]

        assert await outsider.call(victim.address, "services.open.work", theirs) == "done"


async def test_functions_of_a_workspace_that_the_sender_may_enter_are_passed_on(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    name = f"second-{secrets.token_hex(4)}"
    await outsider.manager(
        "create_workspace", {"name": name, "owners": [], "visibility": "protected"}
    )
    token = await outsider.manager("generate_token", {"scopes": [name]})
    async with await RawClient.connect(hub.second, workspace=name, token=token) as away:
        theirs = function(away.address)

        assert await outsider.call(victim.address, "services.open.work", theirs) == "done"


async def test_what_is_sent_later_arrives_later(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    async with await RawClient.connect(hub.first) as third:
        await third.offer("open", "public", f=lambda: 1)
        envelope = call_envelope(victim.address, "services.open.work")

        for number in range(30):
            foreign = [function(third.address, "services.open.f")] if number % 3 == 0 else []
            await outsider.send(envelope, {"args": [number, *foreign]})
        await victim.until(lambda r: r.args[:1] == [29])

    work = [r.args[0] for r in victim.received if r.method == "services.open.work"]
    assert work == list(range(30))


async def test_what_was_sent_before_leaving_arrives(
    hub: Hub, outsider: RawClient, victim: RawClient
) -> None:
    async with (
        await RawClient.connect(hub.first) as third,
        await RawClient.connect(hub.first) as it,
    ):
        await third.offer("open", "public", f=lambda: 1)
        session = it.new_session()
        envelope = call_envelope(victim.address, "services.open.work", session=session)
        promise = promise_of(it.client_id, session)
        foreign = function(third.address, "services.open.f")

        await it.send(envelope, {"args": [foreign], "promise": promise})
        await it.send(envelope, {"args": ["last"], "promise": promise})
        await it.close()

        await victim.until(lambda r: r.args == ["last"])


@pytest.mark.clients
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
async def test_published_clients_pass_on_what_they_fetched(hub: Hub, release: str) -> None:
    config = {"visibility": "public"}
    with PythonClient(release) as client:
        caller, callee, third = [await client.connect(url) for url in (*hub, hub.first)]
        await callee["register_service"]({"id": "b", "config": config, "echo": Local("echo")})
        await third["register_service"]({"id": "c", "config": config, "add": Local("add")})
        echoing = await caller["get_service"](f"{await callee.address()}:b")
        adding = await caller["get_service"](f"{await third.address()}:c")

        passed_on = await echoing["echo"](adding["add"])

        assert await passed_on(40) == 42
