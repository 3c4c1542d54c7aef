"""Tokens that hold no longer: on every gateway, by every way in, for open connections too."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.revocation import FOR_GOOD, Kind, Revocation
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol import rpc
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.revocations import Revocations
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.http import ask
from tests.raw_client import LIMIT, RawClient, Rejected
from tests.token_rig import SECRET, token_of, tokens_of

ANN = Identity("ann", False, "ann@example.org")
BOB = Identity("bob", False, "bob@example.org")


class Scene(NamedTuple):
    """Two gateways with Ann on the first, a child of hers on the second, and Bob beside."""

    urls: tuple[str, str]
    revocations: Revocations
    tokens: dict[str, str]
    ann: RawClient
    child: RawClient
    bob: RawClient

    async def refuses(self, token: str, **query: str) -> None:
        """Wait until no way is left in with a token, at either gateway."""
        for url in self.urls:
            await eventually(partial(self._refuses, url, token, query))

    async def admits(self, token: str, **query: str) -> None:
        for url in self.urls:
            await eventually(partial(self._admits, url, token, query))

    async def _refuses(self, url: str, token: str, query: dict[str, str]) -> bool:
        return await self._enters(url, token, query) == (401, 403)

    async def _admits(self, url: str, token: str, query: dict[str, str]) -> bool:
        return await self._enters(url, token, query) == (200, 101)

    async def _enters(self, url: str, token: str, query: dict[str, str]) -> tuple[int, int]:
        """The status over HTTP, and that of a WebSocket."""
        answer = await ask(f"{url}/public/services", Authorization=f"Bearer {token}")
        try:
            await (await RawClient.connect(url, token=token, **query)).close()
        except InvalidStatus as refused:
            return answer.status, refused.response.status_code
        return answer.status, 101


@pytest.fixture
async def scene(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> AsyncIterator[Scene]:
    first, second = (gateway_factory(jwt_secret=SECRET).url for _ in range(2))
    revocations = Revocations(redis_client, Keys(redis_prefix))
    async with AsyncExitStack() as stack:

        async def connect(url: str, token: str, **query: str) -> RawClient:
            return await stack.enter_async_context(
                await RawClient.connect(url, token=token, **query)
            )

        tokens = {"ann": token_of(ANN), "bob": token_of(BOB)}
        ann, bob = await connect(first, tokens["ann"]), await connect(second, tokens["bob"])
        await ann.manager("create_workspace", {**LAB, "name": "lab"})
        tokens["child"] = await ann.manager("generate_token", {"scopes": ["ann", "lab"]})
        child = await connect(second, tokens["child"], workspace="lab")
        yield Scene((first, second), revocations, tokens, ann, child, bob)


LAB: dict[str, Any] = {"owners": [], "visibility": "protected", "persistent": True}


async def token_id(token: str) -> tuple[str, float | None]:
    identity = await tokens_of().verify(token)
    assert identity.origin
    return identity.origin.token, identity.expires_at


async def test_a_revoked_token_and_its_children_are_refused_and_their_connections_end(
    scene: Scene,
) -> None:
    token, expires_at = await token_id(scene.tokens["ann"])

    await scene.revocations.note(Revocation.of_token(token, expires_at, time.time()))

    assert await scene.ann.closed() == 1000
    assert await scene.child.closed() == 1000
    await scene.refuses(scene.tokens["ann"])
    await scene.refuses(scene.tokens["child"], workspace="lab")
    await scene.refuses(scene.tokens["child"])
    await scene.admits(token_of(ANN))
    await scene.admits(scene.tokens["bob"])
    assert await scene.bob.manager("echo", 1) == 1


async def test_an_answer_that_comes_bit_by_bit_ends_with_the_token_of_who_asked(
    scene: Scene,
) -> None:
    """And not with that of somebody else."""
    following = rpc.reference(scene.bob.address, "counted.next")
    values = iter([{"value": 1}])

    async def next_item() -> object:
        return next(values, None) or await asyncio.Future[object]()  # there is never another one

    scene.bob.functions["counted.next"] = next_item
    await scene.bob.offer(
        "counting", "public", count=lambda *_: {"_rtype": "generator", "next": following}
    )
    path = f"/{scene.bob.workspace}/services/counting/count"
    async with httpx2.AsyncClient(base_url=scene.urls[0], trust_env=False, timeout=LIMIT) as http:
        asked = {"Authorization": f"Bearer {scene.tokens['ann']}", "Accept": "text/event-stream"}
        async with http.stream("GET", path, headers=asked) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "data: 1"
            token, expires_at = await token_id(scene.tokens["ann"])

            await scene.revocations.note(Revocation.of_token(token, expires_at, time.time()))

            rest = [line async for line in lines]
    assert "event: error" in rest
    assert "has been revoked" in rest[-2]


async def test_who_is_expelled_has_left(scene: Scene) -> None:
    """With its services, and it does not come back by its reconnection token."""
    await scene.child.offer("work", "public", work=lambda *_: "done")
    token, expires_at = await token_id(scene.tokens["child"])

    await scene.revocations.note(Revocation.of_token(token, expires_at, time.time()))
    await scene.child.closed()

    async def is_gone() -> bool:
        return await scene.bob.manager("get_service", "work") is None

    await eventually(is_gone)
    back = {"reconnection_token": scene.child.info["reconnection_token"]}
    for url in scene.urls:
        with pytest.raises(InvalidStatus):
            await RawClient.connect(url, scene.child.client_id, **back)
    assert await scene.ann.manager("echo", 1) == 1


async def test_who_does_not_answer_the_close_is_cut_off(scene: Scene) -> None:
    service = await scene.bob.offer("open", "public", work=lambda *_: "done")
    address = service.rpartition(":")[0]
    token, expires_at = await token_id(scene.tokens["child"])
    scene.child.pause()  # so that it does not even read it

    await scene.revocations.note(Revocation.of_token(token, expires_at, time.time()))
    with pytest.raises(ConnectionClosed):
        await send_without_end(scene.child, address)

    assert await scene.bob.manager("echo", 1) == 1
    assert await scene.bob.manager("get_service", service)


async def send_without_end(client: RawClient, address: str) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            await client.send({"type": "news", "to": address})
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("before", [0.0, FOR_GOOD], ids=["so far", "for good"])
async def test_all_tokens_of_a_user_are_revoked(scene: Scene, before: float) -> None:
    await scene.revocations.note(Revocation.of_user("ann", before or time.time(), time.time()))

    assert await scene.ann.closed() == 1000
    assert await scene.child.closed() == 1000
    await scene.refuses(scene.tokens["ann"])
    await (scene.refuses if before else scene.admits)(token_of(ANN))
    assert await scene.bob.manager("echo", 1) == 1

    await scene.revocations.lift(Kind.USER, "ann")

    await scene.admits(token_of(ANN))


async def test_tokens_for_a_workspace_are_revoked_and_hold_for_others(scene: Scene) -> None:
    at_home = await RawClient.connect(scene.urls[0], token=scene.tokens["child"], workspace="ann")
    async with at_home:
        await scene.revocations.note(Revocation.of_workspace("lab", time.time(), time.time()))

        assert await scene.child.closed() == 1000
        assert await at_home.closed() == 1012  # so that it comes back, as what it is now
    back = {"reconnection_token": at_home.info["reconnection_token"], "workspace": "ann"}
    async with await RawClient.connect(scene.urls[1], at_home.client_id, **back) as returned:
        assert returned.user["scopes"] == ["ann"]
        with pytest.raises(Rejected, match="Permission denied"):
            await returned.manager("generate_token", {"scopes": ["lab"]})
    for url in scene.urls:
        with pytest.raises(InvalidStatus):
            await RawClient.connect(url, token=scene.tokens["child"], workspace="lab")
    assert await scene.ann.manager("get_workspace_info", "lab")


async def test_what_redis_has_lost_stays_revoked(
    scene: Scene, redis_client: RedisClient, redis_prefix: str
) -> None:
    await scene.revocations.note(Revocation.of_user("ann", FOR_GOOD, time.time()))
    assert await scene.ann.closed() == 1000

    await redis_client.delete(Keys(redis_prefix).revoked())

    async def is_noted() -> bool:
        return await redis_client.hget(Keys(redis_prefix).revoked(), "user:ann") is not None

    await eventually(is_noted)
    await scene.refuses(token_of(ANN))
