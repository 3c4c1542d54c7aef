"""What is in requests: bodies, queries, and headers."""

import gzip
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import msgpack

from hypha_cluster import log_fields
from hypha_cluster.errors import BadFrame, HubError
from hypha_cluster.features.login.browser import SESSION, Browsers
from hypha_cluster.features.webapps.values import as_headers, without_our_cookies
from hypha_cluster.identity.names import check_client_id, check_service_id, check_workspace_name
from hypha_cluster.protocol.address import parse_service_id
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.limits import HOST
from hypha_cluster.web.answers import answer
from hypha_cluster.web.arguments import from_query
from hypha_cluster.web.bodies import Bodies, Room
from hypha_cluster.web.headers import media_type
from hypha_cluster.web.lookup import base_url_of, token_of
from hypha_cluster.web.middleware.forwarded import Forwarded, networks
from hypha_cluster.web.middleware.own_headers import OwnHeaders
from hypha_cluster.web.rendering import wants_page
from hypha_cluster.web.services import ServicesApi
from hypha_cluster.web.streams import answer_stream
from tests.fuzz.parts import check_refusal, lines, request, run

_MAX_BODY: Final = 100_000
_TYPES: Final = (
    *(b"application/json", b"application/msgpack", b"application/x-www-form-urlencoded"),
    *(b"multipart/form-data; boundary=b", b""),
)
_ANY: Final = cast(Any, None)  # what these do not need
_API: Final = ServicesApi(_ANY, _ANY, _ANY, _ANY, _ANY, Bodies(Room(), _MAX_BODY))
_BROWSERS: Final = Browsers(_ANY, _ANY, "", 1.0)


def bodies(data: bytes) -> None:
    """The body of a call. The first byte says of which type it is, or that its line does."""
    way, body = data[0] if data else 0, data[1:]
    kind = _TYPES[way % len(_TYPES)]
    if not kind:
        kind, body = lines(body, 1)
    encoding = b""
    if way & 0x80:
        encoding = b"gzip"
        body = gzip.compress(body, 1, mtime=0) if way & 0x40 else body
    asked = request(body=body, content_type=kind, content_encoding=encoding)
    with _API.lease() as lease:
        try:
            arguments = run(_API.body(asked, lease))
        except HubError as error:
            check_refusal(error)
            return
    check_arguments(arguments or {})


def check_arguments(arguments: Any) -> None:
    """What is passed on can travel, and is what a client could have sent: no functions."""
    assert type(arguments) is dict
    assert all(type(name) is str for name in arguments)
    try:
        packed = pack(arguments)
    except BadFrame:  # a number of more than 64 bits, or half a character
        return

    def check(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        entries = dict(pairs)
        assert "__proto__" not in entries
        assert entries.get("_rtype") != "method"
        return entries

    unpacked = msgpack.unpackb(packed, object_pairs_hook=check, strict_map_key=False)
    assert type(unpacked) is dict


def values(data: bytes) -> None:
    """A query or a header; the first byte says which."""
    which, value = data[0] if data else 0, data[1:]
    try:
        _READERS[which % len(_READERS)](value)
    except HubError as error:
        check_refusal(error)


def _query(value: bytes) -> None:
    check_arguments(from_query(parse_qsl(value.decode("latin-1"), keep_blank_values=True)))


def _token(value: bytes) -> None:
    token = token_of(value.decode("latin-1"))
    assert token is None or (token and not token.split()[1:])


def _cookie(value: bytes) -> None:
    asked = request(cookie=value)
    for secure in (False, True):
        assert isinstance(SESSION.read(asked, secure=secure), str)
    (kept,) = without_our_cookies([(b"cookie", value)]) or [[b"", b""]]
    left = request(cookie=kept[1])
    assert not SESSION.read(left, secure=False), "an application is told the cookie of the hub"
    assert not SESSION.read(left, secure=True), "an application is told the cookie of the hub"


def _accept(value: bytes) -> None:
    for result in (1, b"x", {"a": [b"x", 2.5]}, {"_rtype": "memoryview", "_rvalue": b"x"}):
        asked = request(accept=value, method="GET")
        wants_page(asked.scope)
        run(_answer(asked, result))


async def _answer(asked: Any, result: object) -> None:
    async def items() -> Any:
        yield result

    for answering in (
        answer(asked, result),
        answer_stream(asked, items(), nullcontext, is_file=False),
    ):
        try:
            response = await answering
        except HubError as error:
            check_refusal(error)
            continue
        assert response.status_code == 200
        for name, header in response.raw_headers:
            assert not set(name + header) & set(b"\r\n\0")


def _name(value: bytes) -> None:
    text = value.decode("utf-8", "surrogateescape")
    parse_service_id(text)
    for check in (check_client_id, check_workspace_name, check_service_id):
        try:
            check(text)
        except HubError as error:
            check_refusal(error)
        else:
            assert not set(text) & set("/:\0\n"), "a name with what separates names"


def _forwarded(value: bytes) -> None:
    """A trusted proxy says from where, by which host and how somebody came."""
    source, host, proto, own = lines(value, 3)
    asked = request(x_forwarded_for=source, x_forwarded_host=host, x_forwarded_proto=proto)
    scope = {**asked.scope, "headers": [*asked.scope["headers"], (b"host", own)]}
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        seen["answer"] = message

    run(Forwarded(OwnHeaders(app), networks("private"))(scope, _ANY, send))
    assert seen["client"]
    asked.scope.update(scope)
    url = base_url_of(asked)
    assert url.startswith(("http://", "https://"))
    assert len(url) <= HOST + len("https://")


def _form(value: bytes) -> None:
    """A form of the login page; whoever sends it is of the same page."""
    kind, origin, body = lines(value, 2)
    asked = request(
        body=body, content_type=kind, origin=origin, host=b"hub", sec_fetch_site=b"same-origin"
    )
    fields = run(_BROWSERS.form(asked))
    assert origin in (b"", b"http://hub"), "a form of another page"
    assert all(type(key) is type(text) is str for key, text in fields.items())


def _fields(value: bytes) -> None:
    """What gets into lines of the log, and what a type of a body is."""
    made = log_fields.good_request_id(value.decode("latin-1"))
    assert made.isascii()
    assert made.isprintable()
    media_type(request(content_type=value))


def _headers_of_an_application(value: bytes) -> None:
    """What a provider answers with; a header is none that ends another, nor the hub's own."""
    try:
        given = msgpack.unpackb(value)
    except (ValueError, TypeError, msgpack.UnpackException):
        return
    for name, header in as_headers(given):
        assert not set(name + header) & set(b"\r\n\0")
        assert name not in (b"clear-site-data", b"connection", b"transfer-encoding")


_READERS: Final[tuple[Callable[[bytes], None], ...]] = (
    *(_query, _token, _cookie, _accept, _name, _forwarded, _form, _fields),
    _headers_of_an_application,
)
