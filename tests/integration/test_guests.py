"""What those may do who come without a token, as `--anonymous` says."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from hypha_cluster.identity.access import Identity
from tests.conftest import GatewayFactory
from tests.http import ask
from tests.login_rig import SERVICE, check, start
from tests.raw_client import RawClient, Rejected
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", False, "ann@example.org")
OFFERS: list[tuple[str, list[Any]]] = [
    ("generate_token", []),
    ("create_workspace", [{"name": "mine", "owners": [], "visibility": "public"}]),
    ("set", [{"description": "x"}]),
    ("register_service", [{"id": "offer", "name": "offer"}]),
]


class Scene(NamedTuple):
    """A hub with Ann, who offers something to all, and somebody without a token."""

    url: str
    service: str
    ann: RawClient
    guest: RawClient


@pytest.fixture(params=["call-only", "off"])
async def scene(
    gateway_factory: GatewayFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    url = gateway_factory(anonymous=request.param, jwt_secret=SECRET).url
    async with (
        await RawClient.connect(url, token=token_of(ANN)) as ann,
        await RawClient.connect(url) as guest,
    ):
        service = await ann.offer("open", "public", work=lambda *_: "done")
        yield Scene(url, service, ann, guest)


only_calls = pytest.mark.parametrize("scene", ["call-only"], indirect=True)
only_log_in = pytest.mark.parametrize("scene", ["off"], indirect=True)


async def test_a_guest_offers_nothing(scene: Scene) -> None:
    for function, arguments in OFFERS:
        with pytest.raises(Rejected, match="Without a token one may only call"):
            await scene.guest.manager(function, *arguments)
    with pytest.raises(Rejected, match="Without a token one may only call"):
        await scene.guest.offer("mine", "public", work=lambda *_: "done")
    back = {"reconnection_token": scene.guest.info["reconnection_token"]}
    async with await RawClient.connect(scene.url, scene.guest.client_id, **back) as again:
        with pytest.raises(Rejected, match="Without a token one may only call"):
            await again.manager("generate_token")


async def test_a_guest_logs_in(scene: Scene) -> None:
    manager = "public/workspace-manager"
    assert await scene.guest.manager("get_service", "public/*:hypha-login")
    context = await scene.guest.call(manager, "services.hypha-login.start")

    state = await scene.guest.call(manager, "services.hypha-login.check", context["key"], 0)

    assert state is False
    started = await start(scene.url)
    assert await check(scene.url, started["key"]) is False


@only_calls
async def test_who_may_call_calls_what_is_public(scene: Scene) -> None:
    assert await scene.guest.call(scene.ann.address, "services.open.work") == "done"
    answer = await ask(f"{scene.url}/ann/services/open/work")
    assert answer.value == "done"


@only_log_in
async def test_who_may_only_log_in_reaches_nobody(scene: Scene) -> None:
    received = len(scene.ann.received)
    for attempt in (
        scene.guest.call(scene.ann.address, "services.open.work"),
        scene.guest.call(scene.ann.address, "services.built-in.ping", "ping"),
        scene.guest.cache(scene.ann.address, "create", "key"),
        scene.guest.manager("list_services", "public"),
        scene.guest.manager("list_clients"),
    ):
        with pytest.raises(Rejected, match="without a token"):
            await attempt
    await scene.guest.send({"type": "news", "to": scene.ann.address})

    assert await scene.ann.manager("echo", 1) == 1
    assert len(scene.ann.received) == received + 1


@only_log_in
async def test_who_may_only_log_in_is_refused_over_http(scene: Scene) -> None:
    bearer = {"Authorization": f"Bearer {token_of(ANN)}"}
    for path in (
        "/ann/services/open/work",
        "/ann/services",
        "/public/services",
        "/ann/info",
        "/ann/services/hypha-login/start",
    ):
        answer = await ask(scene.url + path)
        assert answer.status == 401, path
        assert "without a token" in answer.value["detail"]
    assert (await ask(f"{scene.url}/ann/services/open/work", **bearer)).value == "done"
    assert (await ask(f"{scene.url}{SERVICE}/check?key=x&timeout=0")).status == 404
    assert (await ask(f"{scene.url}/public/apps/hypha-login/")).status == 200


async def test_users_with_a_token_are_no_guests(scene: Scene) -> None:
    child = await scene.ann.manager("generate_token")
    async with await RawClient.connect(scene.url, token=child, workspace="ann") as worker:
        await worker.offer("mine", "public", work=lambda *_: "done")
        assert await scene.ann.call(worker.address, "services.mine.work") == "done"
