"""The account page: what is one's own, made, shown once, and ended; and what admins may do."""

import asyncio
import json
import re
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from tests.conformance.python_scene import eventually
from tests.http import ask
from tests.integration.test_tokens import info_of
from tests.login_rig import PASSWORD, Page, Person, Site, check, key_of, start
from tests.raw_client import RawClient
from tests.token_rig import tokens_of

pytest_plugins = ["tests.login_fixtures"]


async def make_token(person: Person, url: str, **fields: str) -> Page:
    page = await person.open(f"{url}/account")
    csrf = {"csrf": page.fields["csrf"]}
    given = {"name": "worker", "scopes": "", "days": "30", **fields}
    return await person.send(f"{url}/account/make-token", {**csrf, **given})


def token_on(page: Page) -> str:
    found = re.search(r'id="made" readonly value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def test_who_has_not_signed_in_is_asked_to(site: Site, ann: Person) -> None:
    for path in ("/account", "/apps/built-in/account-manager.html"):
        assert (await ann.open(f"{site.first}{path}")).path == "/public/apps/hypha-login/"
    for path in ("make-token", "end-token", "end-all", "admin/user"):
        assert (await ann.send(f"{site.first}/account/{path}", {})).status == 401


async def test_a_token_is_shown_once_and_connects(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "bob")

    page = await make_token(ann, site.second, name="<b>worker</b>")

    token = token_on(page)
    user = (await info_of(site.first, token=token, workspace="bob"))["user_info"]
    assert (user["parent"], user["scopes"]) == ("bob", ["bob"])
    again = await ann.open(f"{site.first}/account")
    assert "<b>worker</b>" in again  # as text
    assert token not in again
    assert page.headers["cache-control"] == "no-store"


async def test_a_token_is_ended_with_its_connections(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "bob")
    token = token_on(await make_token(ann, site.first))
    other = token_on(await make_token(ann, site.first, name="other"))
    page = await ann.open(f"{site.second}/account")
    tokens = re.findall(r'name="token" value="(\w+)"', page.text)
    ended = (await tokens_of().verify(token)).origin
    assert ended
    assert ended.token in tokens
    async with await RawClient.connect(site.first, token=token, workspace="bob") as worker:
        fields = {"csrf": page.fields["csrf"], "token": ended.token}
        page = await ann.send(f"{site.second}/account/end-token", fields)
        assert await worker.closed() == 1000

    assert "other" in page
    assert ended.token not in page.text
    with pytest.raises(InvalidStatus):
        await info_of(site.second, token=token, workspace="bob")
    assert await info_of(site.second, token=other, workspace="bob")
    assert (await ann.send(f"{site.first}/account/end-token", fields)).status == 404


async def test_a_token_is_for_what_one_may_let_others_into(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "bob")

    for fields, status in (
        ({"scopes": "nowhere"}, 404),
        ({"scopes": "public"}, 403),
        ({"days": "9999"}, 400),
        ({"name": " "}, 400),
    ):
        assert (await make_token(ann, site.first, **fields)).status == status


async def test_who_logs_out_everywhere_ends_all_of_it(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "bob")
    token = token_on(await make_token(ann, site.first))
    async with Person() as elsewhere, await RawClient.connect(site.first, token=token) as worker:
        await elsewhere.log_in(site.second, "bob")
        page = await ann.open(f"{site.first}/account")

        page = await ann.send(f"{site.first}/account/end-all", page.fields)

        assert "Password" in page
        assert await worker.closed() == 1000
        assert "Password" in await elsewhere.open(f"{site.first}/account")
    await ann.log_in(site.first, "bob")
    assert "You have made none here" in await ann.open(f"{site.first}/account")


async def test_an_admin_shuts_somebody_out_and_lets_them_in_again(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "ann")
    token = tokens_of().issue((await site.accounts.all())[1].identity())
    page = await ann.open(f"{site.first}/account/admin")
    assert "bob@example.org" in page
    csrf = {"csrf": page.fields["csrf"]}
    change = f"{site.first}/account/admin/user"
    async with await RawClient.connect(site.second, token=token) as bob:
        page = await ann.send(change, {**csrf, "user": "bob", "action": "block"})
        assert await bob.closed() == 1000

    assert "Shut out" in page
    for fresh in (token, tokens_of().issue((await site.accounts.all())[1].identity())):
        with pytest.raises(InvalidStatus):
            await info_of(site.first, token=fresh)
    async with Person() as other:
        assert "Password" in await other.log_in(site.first, "bob")

    page = await ann.send(change, {**csrf, "user": "bob", "action": "unblock"})
    assert "Shut out" not in page
    assert await info_of(site.first, token=token)


async def test_only_an_admin_sees_what_is_others(site: Site, ann: Person) -> None:
    page = await ann.log_in(site.first, "bob")

    assert (await ann.open(f"{site.first}/account/admin")).status == 403
    fields = {**page.fields, "user": "ann", "action": "block"}
    assert (await ann.send(f"{site.first}/account/admin/user", fields)).status == 403
    assert "All of the hub" not in await ann.open(f"{site.first}/account")


async def test_an_admin_cannot_shut_themselves_out(site: Site, ann: Person) -> None:
    page = await ann.log_in(site.first, "ann")

    fields = {**page.fields, "user": "ann", "action": "block"}
    assert (await ann.send(f"{site.first}/account/admin/user", fields)).status == 400


async def test_no_form_of_another_page_ends_anything(site: Site, ann: Person) -> None:
    page = await ann.log_in(site.first, "ann")

    for path in ("make-token", "end-all", "admin/user"):
        url = f"{site.first}/account/{path}"
        assert (await ann.send(url, {"user": "ann"})).status == 403
        assert (await ann.send(url, page.fields, Origin="https://evil.example")).status == 401
    assert "ann@example.org" in await ann.open(f"{site.first}/account")


async def test_a_users_own_workspaces_are_shown(site: Site, ann: Person) -> None:
    token = tokens_of().issue((await site.accounts.all())[1].identity())
    async with await RawClient.connect(site.first, token=token) as bob:
        lab = {"name": "lab-<x>".replace("<x>", "of-bob"), "owners": [], "visibility": "protected"}
        await bob.manager("create_workspace", lab)
        await ann.log_in(site.first, "bob")

        page = await ann.open(f"{site.second}/account")

    assert "lab-of-bob" in page
    assert quote(PASSWORD) not in page.text


# Last use, and what a login has given.


async def shown(person: Person, url: str, name: str) -> list[str]:
    """What the account page says of a token, column by column."""
    page = await person.open(f"{url}/account")
    row = next(row for row in re.findall(r"<tr>(.*?)</tr>", page.text, re.DOTALL) if name in row)
    return [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row)]


async def is_used(person: Person, url: str, name: str) -> bool:
    return (await shown(person, url, name))[3] != "never"


async def test_the_last_use_of_a_token_is_shown_whatever_way_it_came(
    site: Site, ann: Person
) -> None:
    await ann.log_in(site.first, "bob")
    for name, url in (("by http", site.first), ("by websocket", site.second)):
        token = token_on(await make_token(ann, site.first, name=name))
        assert not await is_used(ann, site.second, name)
        if name == "by http":
            await ask(f"{url}/public/services", Authorization=f"Bearer {token}")
        else:
            await info_of(url, token=token, workspace="bob")
        await eventually(partial(is_used, ann, site.first, name))


async def test_uses_are_written_once_in_a_while(
    site: Site, ann: Person, redis: Redis, redis_prefix: str
) -> None:
    """However many requests come with a token: none of them costs a write."""
    await ann.log_in(site.first, "bob")
    token = token_on(await make_token(ann, site.first))
    await ask(f"{site.first}/public/services", Authorization=f"Bearer {token}")
    await eventually(partial(is_used, ann, site.first, "worker"))
    key = f"{redis_prefix}:tokens:bob"
    at = await shown(ann, site.first, "worker")
    fields: list[Any] = await redis.hkeys(key)
    (used,) = [field for field in fields if field.startswith(b"used:")]
    await redis.hset(key, used, 1)  # so that a further write would show

    for _ in range(200):
        await ask(f"{site.first}/public/services", Authorization=f"Bearer {token}")
    await asyncio.sleep(1.5)  # longer than a use waits to be written

    assert at[3] != "never"
    assert (await shown(ann, site.first, "worker"))[3] == "1970-01-01 00:00"


async def test_what_a_program_got_by_a_login_is_found_and_ended(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "bob", key=key_of(started["login_url"]))
    program = re.search(r"act as you: <strong>([^<]+)<", consent.text)
    assert program
    await ann.answer(site.first, consent)
    token = await check(site.first, started["key"], 5)
    page = await ann.open(f"{site.second}/account")
    assert "by a login" in page
    assert (await shown(ann, site.second, program[1]))[1] == "as you"
    async with await RawClient.connect(site.second, token=token) as worker:
        await eventually(partial(is_used, ann, site.first, program[1]))

        page = await ann.send(f"{site.first}/account/end-token", page.fields)

        assert "You have made none here" in page
        assert await worker.closed() == 1000
    assert "bob@example.org" in await ann.open(f"{site.first}/account")


async def test_a_program_lists_its_users_tokens_and_ends_one_by_its_id(
    site: Site, ann: Person
) -> None:
    await ann.log_in(site.first, "bob")
    token, child = tokens_of().issue((await site.accounts.all())[1].identity()), ""
    await make_token(ann, site.first, name="one")
    child = token_on(await make_token(ann, site.first, name="two"))
    service, post = (
        f"{site.second}/public/services/hypha-login",
        {"Content_Type": "application/json"},
    )
    said = {"Authorization": f"Bearer {token}"}

    listed = (await ask(f"{service}/list_tokens", **said)).value
    assert [each["name"] for each in listed] == ["two", "one"]
    assert set(listed[0]) == {"id", "name", "scopes", "made", "expires", "by_login", "used"}
    assert (await ask(f"{service}/list_tokens", Authorization=f"Bearer {child}")).value == []

    body = json.dumps({"token": listed[0]["id"]}).encode()
    assert (await ask(f"{service}/revoke_token", body, **post)).status == 404  # of somebody else
    assert (await ask(f"{service}/revoke_token", body, **said, **post)).status == 200
    with pytest.raises(InvalidStatus):
        await info_of(site.second, token=child, workspace="bob")
    left = (await ask(f"{service}/list_tokens", **said)).value
    assert [each["name"] for each in left] == ["one"]


# The admin page.


async def test_an_admin_sees_gateways_and_clients_and_ends_a_connection(
    site: Site, ann: Person
) -> None:
    token = tokens_of().issue((await site.accounts.all())[1].identity())
    async with await RawClient.connect(site.first, "worker", token=token) as worker:
        await ann.log_in(site.second, "ann")
        page = await ann.open(f"{site.second}/account/admin")
        assert page.text.count("<td>up</td>") == 2
        assert "bob/worker" in page
        assert "1 of 1 are shown" in page
        others = await ann.open(f"{site.second}/account/admin?workspace=nowhere")
        assert "bob/worker" not in others

        sent = {"csrf": page.fields["csrf"], "client": "bob/worker", "action": "kick"}
        await ann.send(f"{site.second}/account/admin/client", sent)

        assert await worker.closed() == 1000
    assert (await info_of(site.first, token=token))["workspace"] == "bob"  # as it may come back


async def test_an_admin_ends_the_tokens_for_a_workspace(site: Site, ann: Person) -> None:
    token = tokens_of().issue((await site.accounts.all())[1].identity())
    async with await RawClient.connect(site.first, token=token) as bob:
        child = await bob.manager("generate_token", {"scopes": ["bob"]})
        async with await RawClient.connect(site.first, token=child, workspace="bob") as guest:
            page = await ann.log_in(site.second, "ann")
            sent = {"csrf": page.fields["csrf"], "workspace": "bob", "action": "end"}

            await ann.send(f"{site.second}/account/admin/workspace", sent)

            assert await guest.closed() == 1000
        assert await bob.manager("echo", 1) == 1


async def test_what_makes_no_sense_ends_nothing(site: Site, ann: Person) -> None:
    page = await ann.log_in(site.first, "ann")
    csrf = {"csrf": page.fields["csrf"]}

    for what, fields in {
        "client": {"client": "no address", "action": "kick"},
        "workspace": {"workspace": "", "action": "end"},
        "user": {"user": "bob", "action": "remove"},
    }.items():
        page = await ann.send(f"{site.first}/account/admin/{what}", {**csrf, **fields})
        assert page.status == 400
        assert "did not work" in page
