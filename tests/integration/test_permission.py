"""What real gateways let whom do, by every way in."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from tests.conftest import GatewayFactory
from tests.http import ask
from tests.raw_client import CACHE, RawClient, Rejected
from tests.token_rig import SECRET, token_of

BOSS = Identity("boss", False, "boss@example.org", roles=("admin", "curator"))
ANN = Identity("ann", False, "ann@example.org")
BOB = Identity("bob", False, "bob@example.org")
NAMELESS = Identity("nameless")


class Deputy(NamedTuple):
    """Who has a token for the workspace `lab` from an admin; beside somebody else, ann."""

    url: str
    token: str
    client: RawClient
    ann: RawClient


@pytest.fixture
async def deputy(gateway_factory: GatewayFactory) -> AsyncIterator[Deputy]:
    url = gateway_factory(jwt_secret=SECRET).url
    async with (
        await RawClient.connect(url, token=token_of(BOSS)) as boss,
        await RawClient.connect(url, token=token_of(ANN)) as ann,
    ):
        lab = {"name": "lab", "owners": ["somebody-else"], "visibility": "protected"}
        await boss.manager("create_workspace", lab)
        token = await boss.manager("generate_token", {"scopes": ["lab"]})
        async with await RawClient.connect(url, token=token, workspace="lab") as client:
            yield Deputy(url, token, client, ann)


async def test_an_admins_token_for_a_workspace_is_an_admins_there(deputy: Deputy) -> None:
    await deputy.client.manager("set", {"description": "changed"})

    info = await deputy.client.manager("get_workspace_info")
    assert info["description"] == "changed"


async def test_an_admins_token_for_a_workspace_opens_no_other(deputy: Deputy) -> None:
    theirs, bearer = deputy.ann.workspace, {"Authorization": f"Bearer {deputy.token}"}

    with pytest.raises(InvalidStatus):
        await RawClient.connect(deputy.url, token=deputy.token, workspace=theirs)
    calls: list[tuple[str, list[Any]]] = [
        ("get_workspace_info", [theirs]),
        ("generate_token", [{"scopes": [theirs]}]),
        ("generate_token", [{"email": ANN.email}]),
        ("create_workspace", [{"name": theirs, "owners": [], "visibility": "public"}, True]),
    ]
    for function, arguments in calls:
        with pytest.raises(Rejected, match="Permission denied|only be your own"):
            await deputy.client.manager(function, *arguments)
    assert (await ask(f"{deputy.url}/{theirs}/info", **bearer)).status == 403
    assert (await ask(f"{deputy.url}/api/stats", **bearer)).status == 403


async def test_a_child_makes_no_token_for_a_workspace_that_only_its_maker_owns(
    deputy: Deputy,
) -> None:
    """Whose children own it: a child's would count as one of them."""
    open_to_all = {"name": "square", "owners": [], "visibility": "public", "deny_list": ["bob"]}
    await deputy.ann.manager("create_workspace", open_to_all)
    token = await deputy.ann.manager("generate_token")
    at_square = {"workspace": "square", "token": token}

    async with await RawClient.connect(deputy.url, **at_square) as child:
        wishes: list[dict[str, Any]] = [{}, {"scopes": ["square"]}]
        for wish in wishes:
            with pytest.raises(Rejected, match="Permission denied for workspace square"):
                await child.manager("generate_token", wish)


async def test_services_elsewhere_see_no_admin_in_an_admins_token_for_a_workspace(
    deputy: Deputy,
) -> None:
    await deputy.ann.offer("open", "public", work=lambda *_: "done")
    deputy.ann.functions[CACHE + "create"] = lambda *_: None

    await deputy.client.call(deputy.ann.address, "services.open.work")
    await deputy.client.cache(deputy.ann.address, "create", "key", False)
    await deputy.client.send({"type": "news", "to": deputy.ann.address})
    await deputy.ann.until(lambda frame: frame.envelope["type"] == "news")

    sent = [frame for frame in deputy.ann.received if frame.source == deputy.client.address]
    assert len(sent) == 3
    assert [frame.envelope["user"]["roles"] for frame in sent] == [["curator"]] * 3


async def test_services_elsewhere_see_no_admin_over_http_either(deputy: Deputy) -> None:
    await deputy.ann.offer("open", "public", work=lambda *_: "done")
    url = f"{deputy.url}/{deputy.ann.workspace}/services/open/work"

    await ask(url, Authorization=f"Bearer {deputy.token}")

    call = await deputy.ann.until(lambda frame: frame.method == "services.open.work")
    assert call.envelope["user"]["roles"] == ["curator"]


async def test_services_in_the_workspace_see_an_admin(deputy: Deputy) -> None:
    async with await RawClient.connect(
        deputy.url, token=token_of(BOSS), workspace="lab"
    ) as provider:
        await provider.offer("work", work=lambda *_: "done")

        await deputy.client.call(provider.address, "services.work.work")

    call = next(frame for frame in provider.received if frame.method == "services.work.work")
    assert call.envelope["user"]["roles"] == ["admin", "curator"]


# Public workspaces.

SQUARE = {"owners": [], "allow_list": [], "visibility": "public", "persistent": False}


async def test_a_public_workspace_that_denies_nobody_admits_nobody_but_its_own(
    deputy: Deputy,
) -> None:
    settings: dict[str, dict[str, Any]] = {"absent": {}, "empty": {"deny_list": []}}
    for name, lists in settings.items():
        await deputy.ann.manager("create_workspace", {**SQUARE, "name": name, **lists})
        child = await deputy.ann.manager("generate_token", {"scopes": [name]})
        at_it = partial(RawClient.connect, deputy.url, workspace=name)

        async with await at_it(token=token_of(ANN)):  # it goes with the last who is in it
            for token in (token_of(ANN), token_of(BOSS), child):
                await (await at_it(token=token)).close()
            for query in ({}, {"token": token_of(BOB)}, {"token": token_of(NAMELESS)}):
                with pytest.raises(InvalidStatus):
                    await at_it(**query)


async def test_a_public_workspace_admits_all_but_those_it_denies(deputy: Deputy) -> None:
    square = {**SQUARE, "name": "square", "deny_list": [BOB.email]}
    await deputy.ann.manager("create_workspace", square)

    at_it = partial(RawClient.connect, deputy.url, workspace="square")
    async with await at_it(), await at_it(token=token_of(NAMELESS)):
        with pytest.raises(InvalidStatus):
            await at_it(token=token_of(BOB))


async def test_a_strangers_call_stays_out_of_a_public_workspace(deputy: Deputy) -> None:
    """What is public there is for all; what is protected, for those who may enter."""
    await deputy.ann.manager("create_workspace", {**SQUARE, "name": "square"})
    inside = {"workspace": "square", "token": token_of(ANN)}
    async with (
        await RawClient.connect(deputy.url, **inside) as provider,
        await RawClient.connect(deputy.url, token=token_of(BOB)) as bob,
    ):
        await provider.offer("secret", work=lambda *_: "done")
        for function, arguments in (
            ("get_service", [f"{provider.address}:secret"]),
            ("get_workspace_info", ["square"]),
            ("generate_token", [{"scopes": ["square"]}]),
        ):
            with pytest.raises(Rejected, match="Permission denied"):
                await bob.manager(function, *arguments)
        url = f"{deputy.url}/square/services/secret/work"
        assert (await ask(url, Authorization=f"Bearer {token_of(BOB)}")).status == 403
        assert (await ask(url, Authorization=f"Bearer {token_of(ANN)}")).value == "done"
