"""What a request is to an application that runs elsewhere: plain values only."""

from typing import Any, Final

from starlette.types import Scope

from hypha_cluster.features.webapps.values import without_our_cookies
from hypha_cluster.hub.visiting import Visitor

# A flag of a service: its framework wants the whole `path`, as ASGI has it by now. Starlette does
# since 0.33, for mounts and redirects; earlier releases, and the original, do not.
FULL_PATH: Final = "asgi-full-path"
SPEC_VERSIONS: Final = {"http": "2.3", "websocket": "2.4"}


def app_scope(scope: Scope, visitor: Visitor, workspace: str) -> dict[str, Any]:
    """The scope of an ASGI application, `path` relative to where it is mounted, `raw_path` not.

    Its `context` says who asks, for applications that want to know.
    """
    kind: str = scope["type"]
    root_path: str = scope["root_path"]
    plain = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSIONS[kind]},
        "http_version": scope.get("http_version", "1.1"),
        "scheme": _scheme(scope),
        "server": _end(scope.get("server")),
        "client": _end(scope.get("client")),
        "root_path": root_path,
        "path": app_path(scope),
        "raw_path": scope.get("raw_path", b"").partition(b"?")[0],
        "query_string": scope["query_string"],
        "headers": without_our_cookies(scope["headers"]),
        "state": {},
        "path_params": {},
        "app_root_path": "",
        "context": {"user": visitor.identity.to_wire(), "ws": workspace},
    }
    if kind == "websocket":
        return plain | {"subprotocols": list(scope.get("subprotocols") or ())}
    return plain | {"method": scope["method"]}


def with_full_path(plain: dict[str, Any]) -> dict[str, Any]:
    """The same scope for an application that has the flag FULL_PATH."""
    whole = {**plain, "path": plain["root_path"] + plain["path"]}
    del whole["app_root_path"]
    return whole


def app_path(scope: Scope) -> str:
    """The path of a request, relative to the application."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"]) or "/"


def _scheme(scope: Scope) -> str:
    """The scheme of the request; that of the browser if a proxy in front of the hub says it."""
    scheme: str = scope["scheme"]
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
    if forwarded in (b"http", b"https"):
        is_secure = forwarded == b"https"
        base = "ws" if scope["type"] == "websocket" else "http"
        return f"{base}s" if is_secure else base
    return scheme


def _end(address: Any) -> list[Any] | None:
    """Host and port of one end of the connection."""
    return list(address) if address is not None else None
