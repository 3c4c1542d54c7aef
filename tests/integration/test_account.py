"""The account page: what is one's own, made, shown once, and ended; and what admins may do."""

import re
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.test_tokens import info_of
from tests.login_rig import PASSWORD, Page, Person, Site
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
    assert "All users" not in await ann.open(f"{site.first}/account")


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
