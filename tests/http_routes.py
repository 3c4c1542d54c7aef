"""Every route of the hub's own over HTTP, asked rightly and wrongly, and what comes of it.

{ws}: the workspace of a client with the public service `open` (functions `echo`, which returns its
arguments, `blob`, which returns bytes, `count`, which returns a stream of 1 and 2, and `stray`, one
that leads elsewhere) and the protected service `closed` (function `secret`).
"""

import json
from typing import Final

import msgpack

from tests.http_feature_routes import FEATURE_ROWS
from tests.http_row import JSON, MSGPACK, Row

OCTETS: Final = "application/octet-stream"
URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data; boundary=b"
FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n5\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nfile\0\r\n--b--\r\n'
)
OLD_BODY: Final = (
    b'{"service_id":"open","function_key":"echo","workspace":"{ws}","function_kwargs":{"x":[1]}}'
)
REFERENCE: Final = '{"f": {"_rtype": "method", "_rtarget": "ws/x", "_rmethod": "services.s.f"}}'


FRONT: Final = "/"
LIST: Final = "/{workspace}/services"
DESCRIBE: Final = "/{workspace}/services/{service}"
CALL: Final = "/{workspace}/services/{service}/{function}"
INFO: Final = "/{workspace}/info"
OPENAPI: Final = "/openapi.json"
OPENAPI_OF: Final = "/{workspace}/openapi.json"
ECHO: Final = "/{ws}/services/open/echo"
SECRET: Final = "/{ws}/services/closed/secret"

# What the original has at addresses of this kind.
OLD_CALL: Final = "/services/call"
OLD_LIST: Final = "/services/list"
OLD_INFO: Final = "/workspaces/info"
OLD_ECHO: Final = "service_id=open&function_key=echo&workspace={ws}"
OLD: Final = (
    Row(
        OLD_CALL,
        "GET",
        f"/services/call?{OLD_ECHO}&function_kwargs=%7B%22x%22:1%7D",
        200,
        '{"x":1}',
    ),
    Row(
        OLD_CALL, "GET", "/services/call?service_id={ws}/{client}:open&function_key=id", 200, "open"
    ),
    Row(OLD_CALL, "HEAD", f"/services/call?{OLD_ECHO}", 200),
    Row(OLD_CALL, "POST", "/services/call", 200, '{"x":[1]}', body=OLD_BODY),
    Row(
        OLD_CALL,
        "POST",
        f"/services/call?{OLD_ECHO}",
        200,
        '{"x":1}',
        body=b'{"function_kwargs":{"x":1}}',
    ),
    Row(OLD_CALL, "GET", "/services/call?service_id=open&function_key=echo", 422, "'workspace' is"),
    Row(OLD_CALL, "GET", "/services/call?workspace={ws}&function_key=echo", 422, "'service_id' is"),
    Row(OLD_CALL, "GET", "/services/call?service_id={ws}/*:open", 422, "'function_key' is"),
    Row(OLD_CALL, "GET", f"/services/call?{OLD_ECHO}&function_kwargs=%7B", 400, "not valid JSON"),
    Row(OLD_CALL, "GET", f"/services/call?{OLD_ECHO}&function_kwargs=5", 400, "a map"),
    Row(OLD_CALL, "GET", f"/services/call?{OLD_ECHO}&service_id=other/*:open", 400, "workspace"),
    Row(OLD_CALL, "GET", "/services/call?service_id=nowhere/x:y&function_key=z", 404, "not found"),
    Row(OLD_CALL, "POST", "/services/call", 400, "not valid", body=b"{"),
    Row(OLD_CALL, "PUT", "/services/call", 405, body=b"{}"),
    Row(OLD_LIST, "GET", "/services/list?workspace={ws}", 200, "{client}:open"),
    Row(OLD_LIST, "GET", "/services/list", 422, "'workspace' is missing"),
    Row(OLD_LIST, "GET", "/services/list?workspace=nowhere", 404, "Workspace not found"),
    Row(OLD_INFO, "GET", "/workspaces/info?workspace={ws}", 403, "Permission denied"),
    Row(OLD_INFO, "GET", "/workspaces/info?workspace={ws}", 200, "{ws}", token="member"),
    Row(OLD_INFO, "GET", "/workspaces/info?workspace=nowhere", 404, "Workspace not found"),
    Row(OLD_INFO, "GET", "/workspaces/info", 422, "'workspace' is missing"),
    Row("/workspaces/list", "GET", "/workspaces/list", 403, "Only an admin"),
    Row("/workspaces/list", "GET", "/workspaces/list", 401, token="nonsense"),
)
STREAM: Final = "/sse"

ROWS: Final = (
    Row(STREAM, "GET", "/sse?client_id=me", 400, "session_id"),
    Row(STREAM, "GET", "/sse?session_id=0123456789", 400, "client_id"),
    Row(STREAM, "GET", "/sse?session_id=0123456789&client_id=a%2Fb", 400, "client id"),
    Row(STREAM, "GET", "/sse?session_id=0123456789&client_id=me&workspace=no", 404, "not found"),
    Row(STREAM, "GET", "/sse?session_id=0123456789&client_id=me&token=x", 401, "token"),
    Row(STREAM, "HEAD", "/sse?session_id=0123456789&client_id=me", 200),
    Row(STREAM, "POST", "/sse", 400, "session_id", body=b""),
    Row(STREAM, "POST", "/sse?session_id=0123456789", 404, "GET /sse", body=b""),
    Row(STREAM, "PUT", "/sse?session_id=0123456789", 405),
    Row(FRONT, "GET", "/", 200, "Hypha"),
    Row(FRONT, "HEAD", "/", 200),
    Row(FRONT, "POST", "/", 405, "Method Not Allowed"),
    Row("/health/live", "GET", "/health/live", 200, "OK"),
    Row("/health/liveness", "GET", "/health/liveness", 200, "OK"),
    Row("/health/ready", "GET", "/health/ready", 200, "OK"),
    Row("/health/ready", "DELETE", "/health/ready", 405),
    Row("/metrics", "GET", "/metrics", 200, "hypha_"),
    Row("/api/stats", "GET", "/api/stats", 403, "Only an admin"),
    Row("/api/stats", "GET", "/api/stats", 403, "Only an admin", token="member"),
    Row("/api/stats", "GET", "/api/stats", 401, token="nonsense"),
    Row(INFO, "GET", "/public/info", 200, '"public"'),
    Row(INFO, "GET", "/{ws}/info", 200, "{ws}", token="member"),
    Row(INFO, "GET", "/{ws}/info", 200, "{ws}", token="member", accept=MSGPACK),
    Row(INFO, "GET", "/{ws}/info", 403, "Permission denied"),
    Row(INFO, "GET", "/nowhere/info", 404, "Workspace not found"),
    Row(INFO, "GET", "/{ws}/info", 401, "token", token="nonsense"),
    Row(INFO, "GET", "/{ws}/info", 401, "Bearer <token>", token="Bearer a b"),
    Row(INFO, "PUT", "/{ws}/info", 405),
    Row(LIST, "GET", "/{ws}/services", 200, ":open"),
    Row(LIST, "GET", "/{ws}/services", 200, ":closed", token="member"),
    Row(LIST, "GET", "/{ws}/services", 200, ":open", accept=MSGPACK),
    Row(LIST, "GET", "/public/services", 200, '"{ws}/{client}:open"'),
    Row(LIST, "GET", "/nowhere/services", 404, "Workspace not found"),
    Row(LIST, "GET", "/a%20b/services", 404),
    Row(LIST, "GET", "/%7Bx%7D/services", 404),
    Row(LIST, "GET", "/%00/services", 404),
    Row(LIST, "GET", "/%FF/services", 404),
    Row(LIST, "GET", "/" + "x" * 5_000 + "/services", 404),
    Row(LIST, "GET", "/{ws}/services/", 307),
    Row(LIST, "POST", "/{ws}/services", 405, body=b"{}"),
    Row(DESCRIBE, "GET", "/{ws}/services/open", 200, '"name":"echo"'),
    Row(DESCRIBE, "GET", "/{ws}/services/{client}:open", 200, '"name":"echo"'),
    Row(DESCRIBE, "GET", "/{ws}/services/closed", 200, '"secret"', token="member"),
    Row(DESCRIBE, "GET", "/{ws}/services/closed", 403, "Permission denied"),
    Row(DESCRIBE, "GET", "/{ws}/services/{client}:closed", 403, "Permission denied"),
    Row(DESCRIBE, "GET", "/{ws}/services/nothing", 404, "Service not found"),
    Row(DESCRIBE, "GET", "/{ws}/services/nobody:open", 404, "Client not found"),
    Row(DESCRIBE, "GET", "/{ws}/services/%00", 404),
    Row(DESCRIBE, "GET", "/{ws}/services/%FF:%FF", 404),
    Row(DESCRIBE, "GET", "/{ws}/services/workspace-manager:default", 404, "WebSocket"),
    Row(DESCRIBE, "GET", "/{ws}/services/open?_mode=best", 400, "A mode is one of"),
    Row(CALL, "GET", f"{ECHO}?x=1", 200, '{"x":1}'),
    Row(CALL, "GET", f"{ECHO}?x=%225%22&x=%226%22", 200, '{"x":"6"}'),
    Row(CALL, "GET", f"{ECHO}?x=%00&y=%FF", 200),
    Row(CALL, "GET", f"{ECHO}?_mode=first&x=1", 200, '{"x":1}'),
    Row(CALL, "GET", f"{ECHO}?_mode=best", 400, "A mode is one of"),
    Row(CALL, "GET", f"{ECHO}?x={'1' * 4_301}", 400, "more than 20 digits"),
    Row(CALL, "GET", f"{ECHO}?x={'%7B%22a%22:' * 1_200}", 400, "levels"),
    Row(CALL, "GET", f"{ECHO}?__proto__=1", 400, "__proto__"),
    Row(CALL, "GET", "/{ws}/services/open/id", 200, "open"),
    Row(CALL, "GET", "/{ws}/services/open/nothing", 404, "has no 'nothing'"),
    Row(CALL, "GET", "/{ws}/services/open/echo.deeper", 404, "has no 'echo.deeper'"),
    Row(CALL, "GET", "/{ws}/services/open/__class__", 404, "has no"),
    Row(CALL, "GET", "/{ws}/services/nothing/echo", 404, "Service not found"),
    Row(CALL, "GET", "/nowhere/services/open/echo", 404, "Workspace not found"),
    Row(CALL, "GET", "/{ws}/services/open/blob?x=1", 406, MSGPACK),
    Row(CALL, "GET", "/{ws}/services/open/blob?x=1", 200, accept=MSGPACK),
    Row(CALL, "GET", "/{ws}/services/open/blob?x=1", 200, "\0", accept=OCTETS),
    Row(CALL, "GET", f"{ECHO}?x=1", 406, "not bytes", accept=OCTETS),
    Row(CALL, "GET", f"{ECHO}?x=1", 200, '{"x":1}', accept=f"{OCTETS}, */*"),
    Row(CALL, "GET", "/{ws}/services/open/count", 200, "1\n2\n"),
    Row(CALL, "GET", "/{ws}/services/open/count", 200, "data: 1", accept="text/event-stream"),
    Row(CALL, "GET", "/{ws}/services/open/count", 406, "bytes", accept=OCTETS),
    Row(CALL, "GET", "/{ws}/services/open/stray", 500, "leads elsewhere"),
    Row(CALL, "GET", SECRET, 403, "Permission denied"),
    Row(CALL, "GET", f"{SECRET}?x=1", 200, "secret", token="member"),
    Row(CALL, "GET", SECRET, 401, token="nonsense"),
    Row(CALL, "GET", "/{ws}/services/{client}:built-in/message_cache.create?key=k", 404),
    Row(CALL, "GET", "/{ws}/services/{client}:built-in/ping?msg=ping", 200, "pong"),
    Row(CALL, "HEAD", ECHO, 200),
    Row(CALL, "HEAD", "/{ws}/services/open/nothing", 404),
    Row(CALL, "POST", ECHO, 200, '{"x":[1,null]}', body=b'{"x": [1, null]}'),
    Row(CALL, "POST", ECHO, 200, body=msgpack.packb({"x": b"\0"}), content_type=MSGPACK),
    Row(CALL, "POST", f"{ECHO}?x=1", 200, '{"x":1}', body=b""),
    Row(
        CALL, "POST", ECHO, 200, '{"x":1}', body=b'{"x": 1}', content_type=f"{JSON}; charset=utf-8"
    ),
    Row(CALL, "POST", ECHO, 200, '{"x":5,"y":"5"}', body=b"x=5&y=%225%22", content_type=URLENCODED),
    Row(CALL, "POST", ECHO, 400, "looks like JSON", body=b'{"x": 1}', content_type=URLENCODED),
    Row(CALL, "POST", ECHO, 200, "file", body=FORM, content_type=MULTIPART, accept=MSGPACK),
    Row(CALL, "POST", ECHO, 406, MSGPACK, body=FORM, content_type=MULTIPART),
    Row(CALL, "POST", ECHO, 400, "boundary", body=FORM[:-9], content_type=MULTIPART),
    Row(CALL, "POST", ECHO, 400, "not valid", body=b"{"),
    Row(CALL, "POST", ECHO, 400, "a map", body=b"[1]"),
    Row(CALL, "POST", ECHO, 400, "not valid", body=b"\xff\xff"),
    Row(CALL, "POST", ECHO, 400, "not valid", body=b"\x81\x01\x02", content_type=MSGPACK),
    Row(CALL, "POST", ECHO, 400, "msgpack", body=b'{"x": 123456789012345678901234567890}'),
    Row(CALL, "POST", ECHO, 400, "A function", body=REFERENCE.encode()),
    Row(CALL, "POST", ECHO, 400, "gzip", body=b"{}", encoding="gzip"),
    Row(CALL, "POST", ECHO, 413, "values", body=b'{"x":[' + b"[]," * 300_001 + b"[]]}"),
    Row(CALL, "POST", ECHO, 415, "content-type", body=b"x=1", content_type="text/csv"),
    Row(CALL, "POST", ECHO, 415, "'br'", body=b"{}", encoding="br"),
    Row(CALL, "PUT", ECHO, 405, body=b"{}"),
    Row(CALL, "DELETE", ECHO, 405),
    *OLD,
    Row(OPENAPI, "GET", "/openapi.json", 200, '"openapi":"3.1.0"'),
    Row(OPENAPI, "POST", "/openapi.json", 405, body=b"{}"),
    Row("/services/openapi.json", "GET", "/services/openapi.json", 200, '"openapi":"3.1.0"'),
    Row(OPENAPI_OF, "GET", "/{ws}/openapi.json", 200, "/{ws}/services/open/echo"),
    Row(OPENAPI_OF, "GET", "/{ws}/openapi.json", 200, "/services/closed/secret", token="member"),
    Row(OPENAPI_OF, "GET", "/{ws}/openapi.json", 401, token="nonsense"),
    Row(OPENAPI_OF, "GET", "/nowhere/openapi.json", 404, "Workspace not found"),
    Row("/api-docs", "POST", "/api-docs", 405, body=b"{}"),  # what GET does, unit tests show
    Row("/api-redoc", "GET", "/api-redoc", 307),
    Row("/ws", "GET", "/ws", 404, "Not Found"),
    *FEATURE_ROWS,
    Row("", "GET", "/nowhere", 404, "Not Found"),
    Row("", "GET", "/a/b/c/d/e", 404, "Not Found"),
    Row("", "GET", "/..%2F..%2Fetc/passwd", 404, "Not Found"),
    Row("", "OPTIONS", "/nowhere", 404, "Not Found"),
)


# For clients and people, or the same once more; OpenAPI does not describe them.
OFF_THE_RECORD: Final = {"/ws", STREAM, "/api-docs", "/api-redoc", "/services/openapi.json"}


def of_service(row: Row, workspace: str, client: str) -> Row:
    """A row for a client that is there."""
    names = (("{ws}", workspace), ("{client}", client))
    path, says, body = row.path, row.says, row.body
    for placeholder, name in names:
        path, says = path.replace(placeholder, name), says.replace(placeholder, name)
        body = body and body.replace(placeholder.encode(), name.encode())
    return row._replace(path=path, says=says, body=body)


def is_one_sentence(body: bytes) -> bool:
    """Whether an error is told as all are."""
    value = json.loads(body)
    detail = value["detail"]
    return value["success"] is False and bool(detail) and "\n" not in detail
