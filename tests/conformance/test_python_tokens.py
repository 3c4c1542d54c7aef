"""Tokens that a client generates: whom they let in, where, and for how long."""

import asyncio
import time

import pytest

from tests.conformance.python_scene import Connect, eventually, every_release, refusal_of, unique
from tests.gateways import Hub
from tests.python_client import RELEASES, RemoteError

pytestmark = pytest.mark.clients


@every_release
async def test_a_token_admits_to_the_workspace_it_was_made_in(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    issuer = (await host["get_connection_info"]())["user_info"]

    token = await host["generate_token"]()

    guest = await connect(release, hub.second, workspace=host.workspace, token=token)
    user = (await guest["get_connection_info"]())["user_info"]
    assert guest.workspace == host.workspace
    assert user["parent"] == issuer["id"]
    assert user["id"] != issuer["id"]
    assert user["scopes"] == [host.workspace]
    assert abs(user["expires_at"] - (time.time() + 10800)) < 60


@every_release
async def test_a_token_for_the_issuer_of_the_token_names_the_first_parent(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    child = await connect(
        release, hub.second, workspace=host.workspace, token=await host["generate_token"]()
    )

    token = await child["generateToken"]({"scopes": [host.workspace]})

    grandchild = await connect(release, hub.first, workspace=host.workspace, token=token)
    user = (await grandchild["get_connection_info"]())["user_info"]
    assert user["parent"] == host.workspace


@every_release
async def test_a_token_without_a_workspace_leads_to_a_new_one(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)

    guest = await connect(release, hub.second, token=await host["generate_token"]())

    user = (await guest["get_connection_info"]())["user_info"]
    assert guest.workspace == user["id"]
    assert guest.workspace != host.workspace


@every_release
async def test_a_token_lasts_as_long_as_was_asked_for(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)

    token = await host["generate_token"]({"expires_in": 600})

    guest = await connect(release, hub.second, workspace=host.workspace, token=token)
    user = (await guest["get_connection_info"]())["user_info"]
    assert abs(user["expires_at"] - (time.time() + 600)) < 60


@every_release
async def test_a_token_does_not_lend_the_name_of_another(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)

    await refusal_of(host["generate_token"]({"email": "somebody-else@example.org"}))


@every_release
async def test_a_token_admits_only_where_its_scopes_say(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    lab = unique("lab")
    await host["create_workspace"]({"name": lab, "owners": [], "visibility": "protected"})

    token = await host["generate_token"]({"scopes": [lab]})

    guest = await connect(release, hub.second, workspace=lab, token=token)
    assert guest.workspace == lab
    await refusal_of(connect(release, hub.second, workspace=host.workspace, token=token))


@every_release
async def test_nobody_makes_tokens_for_somebody_elses_workspace(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    stranger = await connect(release, hub.second)

    await refusal_of(stranger["generate_token"]({"scopes": [host.workspace]}))
    await refusal_of(stranger["generate_token"]({"scopes": [stranger.workspace, host.workspace]}))
    await refusal_of(stranger["generate_token"]({"scopes": host.workspace}))


async def test_a_token_expires(hub: Hub, connect: Connect) -> None:
    await asyncio.gather(*(token_expires(hub, release, connect) for release in RELEASES))


async def token_expires(hub: Hub, release: str, connect: Connect) -> None:
    host = await connect(release, hub.first)
    token = await host["generate_token"]({"expires_in": 1})

    async def is_refused() -> bool:
        try:
            guest = await connect(release, hub.second, workspace=host.workspace, token=token)
        except RemoteError:
            return True
        await guest["disconnect"]()
        return False

    await eventually(is_refused)


@every_release
async def test_a_token_that_was_changed_is_refused(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    prefix, _, encoded = (await host["generate_token"]()).rpartition("@")
    header, claims, signature = encoded.split(".")
    reversed_signature = ".".join([header, claims, signature[::-1]])
    unsigned = ".".join(["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", claims, ""])

    for changed in (reversed_signature, unsigned, f"{header}.{claims}"):
        token = f"{prefix}@{changed}"
        await refusal_of(connect(release, hub.second, workspace=host.workspace, token=token))


@every_release
async def test_a_reconnection_token_is_no_access_token(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    token = (await host["get_connection_info"]())["reconnection_token"]

    for disguise in (token, f"{host.workspace}@imjoy@{token}"):
        await refusal_of(connect(release, hub.second, workspace=host.workspace, token=disguise))
