"""Whom a browser speaks for, and which forms are a page's of the hub's own."""

from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster.errors import BadRequest, PermissionDenied
from hypha_cluster.features.login.browser import (
    SESSION,
    Browsers,
    Cookie,
    Opener,
    Signed,
    digest_of,
    read_form,
)
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.protocol.limits import FORM
from hypha_cluster.web.bodies import Room
from tests.unit.features.rig import ANN, GOES, URL, Ground, asked, cookie_of, signed_in_now

OWN = {"origin": URL, "sec-fetch-site": "same-origin"}
ELSEWHERE = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


def posted(fields: dict[str, str], **headers: str) -> Request:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return asked("POST", urlencode(fields).encode(), **{**kind, **headers})


@pytest.fixture
def browsers(ground: Ground) -> Browsers:
    return Browsers(ground.logins, ground.revocations, URL, 3_600.0)


@pytest.mark.parametrize("headers", [GOES, {**GOES, "sec-fetch-site": "cross-site"}, OWN, {}])
async def test_the_cookie_says_who_has_signed_in(
    ground: Ground, browsers: Browsers, headers: dict[str, str]
) -> None:
    signed = await browsers.signed_in(asked(cookie=await cookie_of(ANN, ground), **headers))

    assert signed is not None
    assert signed.identity.id == "ann"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", ELSEWHERE),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        ("GET", {"sec-fetch-site": "same-site"}),
        ("GET", {"origin": "null"}),
        ("POST", {**GOES, "sec-fetch-site": "cross-site"}),
    ],
)
async def test_it_says_nothing_to_pages_of_others(
    ground: Ground, browsers: Browsers, method: str, headers: dict[str, str]
) -> None:
    request = asked(method, cookie=await cookie_of(ANN, ground), **headers)

    assert await browsers.signed_in(request) is None


async def test_a_cookie_that_is_none_or_was_ended_speaks_for_nobody(
    ground: Ground, browsers: Browsers
) -> None:
    cookie = await cookie_of(ANN, ground)
    assert await browsers.signed_in(asked(cookie="__Host-hypha=made-up")) is None
    assert await browsers.signed_in(asked(cookie=cookie.replace("__Host-", ""))) is None

    now = signed_in_now(ANN).origin
    assert now is not None
    await ground.revocations.note(Revocation.of_user("ann", now.made_at + 1, now.made_at + 1))

    assert await browsers.signed_in(asked(cookie=cookie)) is None


async def test_who_signs_in_gets_a_new_cookie_and_who_signs_out_has_none(
    ground: Ground, browsers: Browsers
) -> None:
    response = Response()
    await browsers.sign_in(asked(), response, signed_in_now(ANN))
    cookie = response.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("__Host-hypha=")
    assert await browsers.signed_in(asked(cookie=cookie))

    gone = Response()
    await browsers.sign_out(asked(cookie=cookie), gone)

    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert await browsers.signed_in(asked(cookie=cookie)) is None


async def test_a_form_of_a_page_of_the_hubs_is_read(browsers: Browsers) -> None:
    signed = Signed(ANN, "secret")
    fields = {"csrf": signed.csrf, "name": "Zoë", "empty": ""}

    assert await browsers.form(posted(fields, **OWN), signed) == fields
    assert await browsers.form(posted({"name": "x"}), None) == {"name": "x"}


@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        ("", OWN),
        ("guessed", OWN),
        ("ünï", OWN),
        (Signed(ANN, "another").csrf, OWN),
        (Signed(ANN, "secret").csrf, ELSEWHERE),
        (Signed(ANN, "secret").csrf, {"sec-fetch-site": "cross-site"}),
        (Signed(ANN, "secret").csrf, {"origin": "http://hub.example"}),
    ],
)
async def test_a_form_of_another_page_is_refused(
    browsers: Browsers, csrf: str, headers: dict[str, str]
) -> None:
    with pytest.raises(PermissionDenied, match="This form is from another page"):
        await browsers.form(posted({"csrf": csrf}, **headers), Signed(ANN, "secret"))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (asked("POST", b"{}", content_type="application/json"), "A form is sent as"),
        (posted({str(n): "" for n in range(60)}), "cannot be read"),
        (
            asked("POST", b"\xff=1", content_type="application/x-www-form-urlencoded"),
            "cannot be read",
        ),
    ],
)
async def test_what_is_no_form_is_refused(request_: Request, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        await read_form(request_, Room())


async def test_a_form_has_a_bound() -> None:
    with pytest.raises(Exception, match=r"(?i)at most|too large"):
        await read_form(posted({"a": "x" * (FORM + 1)}), Room())


@pytest.mark.parametrize(
    ("headers", "opener"),
    [
        (GOES, Opener.PERSON),
        ({**GOES, "sec-fetch-dest": "iframe"}, Opener.SCRIPT),
        ({**GOES, "sec-fetch-mode": "cors"}, Opener.SCRIPT),
        ({"sec-fetch-mode": "navigate"}, Opener.UNSAID),
        ({}, Opener.UNSAID),
    ],
)
def test_browsers_alone_tell_who_opens_a_page(headers: dict[str, str], opener: Opener) -> None:
    assert Opener.of(asked(**headers)) is opener
    assert Opener.of(asked("POST", **headers)) is Opener.SCRIPT


@pytest.mark.parametrize("secure", [True, False])
def test_a_cookie_is_for_this_host_alone_and_never_for_scripts(secure: bool) -> None:
    response = Response()
    Cookie("x").write(response, "value", 60, secure=secure)

    written = response.headers["set-cookie"]
    assert written.startswith("__Host-x=value" if secure else "x=value")
    assert "HttpOnly" in written
    assert "SameSite=lax" in written
    assert ("Secure" in written) is secure
    assert SESSION.read(asked(cookie="hypha=a; __Host-hypha=b"), secure=secure) == "ab"[secure]


def test_what_is_kept_of_a_secret_does_not_tell_it() -> None:
    assert "secret" not in digest_of("secret")
    assert digest_of("secret") != digest_of("Secret")
