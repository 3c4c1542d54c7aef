"""What the code of an app may do with the way in of its page: nothing, once the app is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.features.launcher.starting import page_user
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import Instance, Scale, State, Wanted
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.registry.keys import Keys
from tests.app_rig import ticket_of
from tests.conftest import GatewayFactory
from tests.integration.test_large_messages import Provider, message, send
from tests.raw_client import LIMIT, RawClient, Rejected, call_envelope, promise_of
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", False, "ann@example.org")
ADDRESS = "ann/page"


@dataclass
class Scene:
    """Two gateways; Ann is at the first, and the page of an app of hers. The test is its runner."""

    urls: tuple[str, str]
    instances: Instances
    ann: RawClient
    page: RawClient

    async def takes_its_way_back(self, gateway: int) -> RawClient:
        """A program elsewhere, which was told the token."""
        return await RawClient.connect(
            self.urls[gateway],
            "page",
            workspace="ann",
            reconnection_token=self.page.info["reconnection_token"],
        )

    async def takes(self, workspace: str) -> Instance:
        """An instance that the hub has begun unasked."""
        async with asyncio.timeout(LIMIT):
            while not (taken := await self.instances.see_to("runner", 1)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        (instance,) = [await self.instances.get(each) for each in taken]
        assert instance.workspace == workspace
        return instance

    async def closes(self) -> None:
        """The runner has closed what it takes to be the page."""
        stopping = frozenset((State.STOPPING,))
        instance = await self.instances.get(ADDRESS)
        if instance.state is State.STOPPING:
            await self.instances.change(ADDRESS, stopping, instance.then, due=60)


@pytest.fixture
async def scene(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> AsyncIterator[Scene]:
    first, second = (
        gateway_factory(jwt_secret=SECRET, enable_server_apps=True, app_runners="elsewhere").url
        for _ in range(2)
    )
    keys = Keys(redis_prefix)
    instances = Instances(redis_client, keys)
    pages = InstancePages(redis_client, keys, PageSeals(SECRET), instances)
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await RawClient.connect(first, token=token_of(ANN)))
        user = page_user(ANN, "ann")
        wanted = Wanted("ann", "page", "adder", "Adder", user, "default", 60.0)
        await pages.ask(wanted, shared=False)
        ticket = await ticket_of(instances, ADDRESS, "runner")
        page = await stack.enter_async_context(
            await RawClient.connect(first, "page", workspace="ann", token=ticket)
        )
        starting = frozenset((State.STARTING,))
        await instances.change(ADDRESS, starting, State.RUNNING, due=60)
        yield Scene((first, second), instances, ann, page)


ENDS = ["stopped", "failed", "uninstalled"]


async def end(scene: Scene, how: str) -> None:
    if how == "uninstalled":
        await scene.instances.forget(ADDRESS)
    else:
        await scene.instances.end(ADDRESS, because="It is broken." if how == "failed" else "")


@pytest.mark.parametrize("how", ENDS)
async def test_who_has_taken_the_way_back_of_a_page_goes_with_the_app(
    scene: Scene, how: str
) -> None:
    thief = await scene.takes_its_way_back(1)
    await scene.page.closed()

    await end(scene, how)
    await scene.closes()

    assert await thief.closed() == 1000
    async with asyncio.timeout(LIMIT):  # its connection is closed a moment before
        while "page" in await scene.ann.manager("list_clients"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for gateway in (0, 1):
        with pytest.raises(InvalidStatus):
            await scene.takes_its_way_back(gateway)
    assert await scene.ann.manager("echo", 1) == 1


@pytest.mark.parametrize("how", ENDS)
async def test_a_page_does_not_come_back_to_an_app_that_is_over_though_its_runner_is_dead(
    scene: Scene, how: str
) -> None:
    scene.page.break_off()
    await scene.page.closed()
    async with await scene.takes_its_way_back(1) as again:  # as long as the app runs, it does
        assert await again.manager("echo", 1) == 1
        again.break_off()
        await again.closed()

    await end(scene, how)

    for gateway in (0, 1):
        with pytest.raises(InvalidStatus) as refused:
            await scene.takes_its_way_back(gateway)
        assert refused.value.response.status_code == 403


# Whose page may not come in.


REFUSALS = {  # whose page, in which workspace → why it may not come in
    "is shut out": (Identity("bob", False, "bob@x.org"), "lab", "Permission denied for workspace"),
    "has gone": (ANN, "gone", "Workspace not found: gone"),
    "is over": (
        Identity("child", parent="ann", scopes=("ann",), expires_at=1.0),
        "ann",
        "The token by which the app was started has expired.",
    ),
}


@pytest.mark.parametrize("who", REFUSALS)
async def test_what_may_never_come_in_is_begun_no_more(
    scene: Scene, redis_client: RedisClient, redis_prefix: str, who: str
) -> None:
    launcher, workspace, why = REFUSALS[who]
    keys = Keys(redis_prefix)
    lab = {"name": "lab", "owners": [], "visibility": "protected", "persistent": True}
    await scene.ann.manager("create_workspace", lab)
    await Apps(redis_client, keys).install(
        App(workspace, "d", {"name": "d"}, {}, "", 1, {}), {}, {}
    )
    user = page_user(launcher, workspace)
    wanted = Wanted(workspace, "", "d", "d", user, "default", 60.0, scale=Scale(least=1))
    await KeptApps(redis_client, keys, PageSeals(SECRET)).keep(wanted)
    instance = await scene.takes(workspace)
    ticket = await scene.instances.issue_ticket(instance)
    assert ticket

    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(scene.urls[1], instance.client, workspace=workspace, token=ticket)

    assert refused.value.response.status_code == 403
    barred = await scene.instances.get(instance.address)
    assert (barred.state, barred.then) == (State.STOPPING, State.FAILED)
    assert why in barred.reason
    assert await redis_client.zrange(keys.kept_apps()) == []


# Calls in chunks.


async def test_a_large_call_of_a_page_that_offers_nothing_yet_is_rejected(scene: Scene) -> None:
    page, ann = Provider(scene.page), scene.ann
    envelope = call_envelope(ADDRESS, "services.default.work", session="s1")
    parts = message(1_200_000, envelope, promise=promise_of(ann.client_id, "s1"))

    with pytest.raises(Rejected, match="has started anew, and offers nothing yet; try again"):
        await send(ann, ADDRESS, parts, "first", hold=False)

    await page.until(lambda: not page.entries)  # nothing is left of it
    assert page.came == []
    await page.client.offer("default", work=lambda *_: None)
    await send(ann, ADDRESS, parts, "second", hold=False)
    assert len(page.came) == 1
