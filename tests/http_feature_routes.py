"""The routes of features, asked rightly and wrongly; see tests/http_routes.py.

{ws} has beside its other services `site`, of type `functions`, whose `index` answers `hello`, and
`hidden`, which is the same and protected.
"""

from typing import Any, Final

from tests.http_row import Row

HTML: Final = "text/html"
FORM: Final = "application/x-www-form-urlencoded"
APP: Final = "/{workspace}/apps/{service}"
LOGIN: Final = "/public/apps/hypha-login/"
ACCOUNT: Final = "/account"
INVITATION: Final = "/login/invitation"
WORKSPACE: Final = "/{workspace}/"
ASSETS: Final = "/assets/{package}/{file:path}"
WHEELS: Final = "/assets/python/{project}"
CLIENT: Final = "/assets/imjoy-rpc@0.5.59/dist/hypha-rpc-websocket.min.js"

_FORM: Final[dict[str, Any]] = {"accept": HTML, "body": b"", "content_type": FORM}
_GRANT: Final[dict[str, Any]] = {"body": b"grant_type=refresh_token", "content_type": FORM}

WEB_APPS: Final = (
    Row(APP, "GET", "/{ws}/apps/site", 307),
    Row(APP, "GET", "/{ws}/apps/site/", 200, "hello"),
    Row(APP, "HEAD", "/{ws}/apps/site/", 200),
    Row(APP, "PUT", "/{ws}/apps/site/index?x=1", 200, "hello", body=b"content"),
    Row(APP, "GET", "/{ws}/apps/{client}:site/", 200, "hello"),
    Row(APP, "GET", "/{ws}/apps/hidden/", 200, "hello", token="member"),
    Row(APP, "GET", "/{ws}/apps/hidden/", 403, "Permission denied"),
    Row(APP, "GET", "/{ws}/apps/hidden/", 401, token="nonsense"),
    Row(APP, "GET", "/{ws}/apps/site/nothing", 404, "Not Found", accept=HTML),
    Row(APP, "GET", "/{ws}/apps/site/a/b", 404, "Not Found", accept=HTML),
    Row(APP, "GET", "/{ws}/apps/open/", 404, "no web application"),
    Row(APP, "GET", "/{ws}/apps/nothing/", 404, "Service not found"),
    Row(APP, "GET", "/{ws}/apps/nobody:site/", 404, "Client not found"),
    Row(APP, "GET", "/nowhere/apps/site/", 404, "Workspace not found"),
    Row(APP, "POST", "/{ws}/apps/site/", 415, "'br'", body=b"x", encoding="br"),
)
PAGES: Final = (
    Row("/{workspace}/apps/", "GET", "/{ws}/apps/", 404, "--enable-server-apps", accept=HTML),
    Row("/", "GET", "/", 200, "<!doctype html>", accept=HTML),
    Row("/pages/figures", "GET", "/pages/figures", 200, '"gateways"'),
    Row("/pages/{file}", "GET", "/pages/nothing.js", 404, "Not Found"),
    Row("/playground", "GET", "/playground", 200, "<!doctype html>", accept=HTML),
    Row("/pages/sandbox", "GET", "/pages/sandbox", 200, "<!doctype html>", accept=HTML),
    Row("/pages/msgpack.zip", "GET", "/pages/msgpack.zip", 200),
    Row("/apps/built-in/playground.html", "GET", "/apps/built-in/playground.html", 303),
    Row("/static/lite.html", "GET", "/static/lite.html", 303),
    Row(WORKSPACE, "GET", "/{ws}/", 403, "<!doctype html>", accept=HTML),
    Row(WORKSPACE, "GET", "/{ws}/", 200, "<!doctype html>", accept=HTML, token="member"),
    Row(WORKSPACE, "GET", "/nowhere/", 404, "Workspace not found", accept=HTML),
    Row(WORKSPACE, "GET", "/{ws}/", 404, "Not Found"),
    Row(ASSETS, "GET", CLIENT, 200, "hypha"),
    Row(ASSETS, "HEAD", CLIENT, 200),
    Row(ASSETS, "GET", "/assets/imjoy-rpc@0.5.59/package.json", 404, "has LICENSE"),
    Row(ASSETS, "GET", "/assets/nothing@1/x", 404, "no such package"),
    Row(WHEELS, "GET", "/assets/python/nothing", 404, "no wheel of"),
    Row(WHEELS, "POST", "/assets/python/fastapi", 405, body=b""),
)
LOGGING_IN: Final = (
    Row(LOGIN, "GET", LOGIN, 200, "<!doctype html>", accept=HTML),
    Row(LOGIN.rstrip("/"), "GET", LOGIN.rstrip("/"), 200, "<!doctype html>", accept=HTML),
    Row("/login/sign-in", "POST", "/login/sign-in", 401, accept=HTML, body=b"", content_type=FORM),
    Row("/login/sign-in", "GET", "/login/sign-in", 405),
    Row("/login/answer", "POST", "/login/answer", 401, accept=HTML, body=b"", content_type=FORM),
    Row(
        "/login/sign-out", "POST", "/login/sign-out", 303, accept=HTML, body=b"", content_type=FORM
    ),
    Row("/login/to/{provider}", "GET", "/login/to/nobody", 404, accept=HTML),
    Row("/login/callback", "GET", "/login/callback?state=x&code=y", 404, accept=HTML),
    Row(INVITATION, "GET", "/login/invitation?code=x", 401, accept=HTML),
    Row(INVITATION, "POST", INVITATION, 401, accept=HTML, body=b"code=x", content_type=FORM),
    Row("/login/sign-in", "POST", "/login/sign-in", 400, "A form is sent", accept=HTML, body=b""),
    Row(ACCOUNT, "GET", ACCOUNT, 303, accept=HTML),
    Row("/account/admin", "GET", "/account/admin", 401, accept=HTML),
    Row(
        "/account/make-token",
        "POST",
        "/account/make-token",
        401,
        accept=HTML,
        body=b"",
        content_type=FORM,
    ),
    Row(
        "/account/end-token",
        "POST",
        "/account/end-token",
        401,
        accept=HTML,
        body=b"",
        content_type=FORM,
    ),
    Row(
        "/account/end-all",
        "POST",
        "/account/end-all",
        401,
        accept=HTML,
        body=b"",
        content_type=FORM,
    ),
    Row(
        "/account/admin/user",
        "POST",
        "/account/admin/user",
        401,
        accept=HTML,
        body=b"",
        content_type=FORM,
    ),
    *(
        Row(f"/account/admin/{what}", "POST", f"/account/admin/{what}", 401, **_FORM)
        for what in ("client", "workspace")
    ),
    Row("/authorize", "GET", "/authorize?client_id=page", 404, "--openid-issuer"),
    Row("/oauth/token", "POST", "/oauth/token", 404, "--openid-issuer", **_GRANT),
    Row("/apps/built-in/account-manager.html", "GET", "/apps/built-in/account-manager.html", 303),
)
OLD_PAGES: Final = (
    *(
        Row(path, "GET", path, status, "<!doctype html>", accept=HTML)
        for path, status in (
            ("/apps/built-in/echo-service.html", 200),
            ("/apps/built-in/imjoy-plugin-parser.html", 200),
            ("/apps/built-in/test.html", 200),
        )
    ),
    Row("/apps/built-in/test.html", "POST", "/apps/built-in/test.html", 405, body=b""),
)
FEATURE_ROWS: Final = (*WEB_APPS, *OLD_PAGES, *PAGES, *LOGGING_IN)
