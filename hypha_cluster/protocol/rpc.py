"""The half of a frame that a peer reads: calls, replies, rejects, method references, values."""

import itertools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadFrame, BadRequest
from hypha_cluster.protocol.address import absolute, workspace_of
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.guard import BUILT_IN, PING, check_path, shown
from hypha_cluster.protocol.limits import DEPTH, ERROR, LONGEST_INTERVAL, PATH, SHORTEST_INTERVAL
from hypha_cluster.protocol.signatures import is_readable

_TRACE: Final = "Traceback (most recent call last)"
_FRAMES: Final = ('  File "', "  Plugin script")  # as Python's clients write them
_CACHE_FUNCTIONS: Final = ("create", "append", "process", "remove")


def reference(target: str, method: str, *, promise: bool = True) -> dict[str, Any]:
    """A callable as it travels (protocol.md 3.1), without a signature on purpose (3.2)."""
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": promise}


def error(text: str, kind: str = "") -> dict[str, Any]:
    """An exception as it travels; the text must be a string (protocol.md 3.8).

    kind: of HubError, for the hub itself; clients look at the text alone.
    """
    shortened = text if len(text) <= ERROR else f"{text[:ERROR]}…"
    encoded = {"_rtype": "error", "_rvalue": shortened}
    return encoded | {"_rkind": kind} if kind else encoded


def error_kind(value: object) -> str:
    """The kind that `error` was given."""
    return str(value.get("_rkind", "")) if isinstance(value, dict) else ""


def error_text(value: object) -> str:
    """What a provider rejected with, for people to read: what stands behind its trace."""
    if not isinstance(value, dict) or not isinstance(value.get("_rvalue"), str):
        return str(value)
    trace = value.get("_rtrace")
    text = _last_words(value["_rvalue"]) or _last_words(trace if isinstance(trace, str) else "")
    return text or "The function failed without a word; its client's log may say more."


def _last_words(text: str) -> str:
    """A text without the trace of Python's that it may begin with."""
    if not text.startswith(_TRACE):
        return text.strip()
    lines = text.splitlines()
    last_frame = max((n for n, line in enumerate(lines) if line.startswith(_FRAMES)), default=0)
    words = itertools.dropwhile(lambda line: line.startswith("  "), lines[last_frame + 1 :])
    return "\n".join(words).strip()


def is_answer(method: str) -> bool:
    """Whether a method is a promise's callback, which answers a call (protocol.md 3.3)."""
    return method.endswith((".resolve", ".reject")) and not method.startswith("services.")


def reject_instead_of(method: object) -> str | None:
    """The callback that rejects the call which `method` would answer, None if it answers none."""
    if not isinstance(method, str) or len(method) > PATH or not is_answer(method):
        return None
    reject = method.rpartition(".")[0] + ".reject"
    try:
        check_path(reject)
    except BadFrame:
        return None
    return reject


def is_reference(value: object) -> bool:
    return isinstance(value, dict) and value.get("_rtype") == "method"


class Caller(NamedTuple):
    """What is needed to answer a call: who made it, whom they called, and where answers go."""

    address: str
    target: str
    session: str | None
    resolve: str | None
    reject: str | None
    heartbeat: str | None
    interval: float

    @classmethod
    def of(cls, frame: Frame, address: str, target: str) -> "Caller":
        promise = frame.body.get("promise") or {}
        return cls(
            address=address,
            target=target,
            session=frame.envelope.get("session"),
            resolve=_method_of(promise.get("resolve")),
            reject=_method_of(promise.get("reject")),
            heartbeat=_method_of(promise.get("heartbeat")),
            interval=_interval(promise.get("interval") or 0),
        )


def _interval(seconds: float) -> float:
    """The interval of heartbeats, within its bounds; 0 for none, also where it is not a number."""
    return min(max(float(seconds), SHORTEST_INTERVAL), LONGEST_INTERVAL) if seconds > 0 else 0.0


def answers_to(frame: Frame) -> str:
    """Where the answer to a sealed call goes: who made it, or the hub for a chunk of theirs."""
    source: str = frame.envelope["from"]
    reject = frame.body["promise"].get("reject")
    target: str = reject["_rtarget"] if reject else source
    return absolute(target, workspace_of(source))


def reject_path(promise: object) -> str | None:
    """The path of the callback that rejects a call; None when nobody waits for it."""
    reject = promise.get("reject") if isinstance(promise, dict) else None
    path = reject.get("_rmethod") if isinstance(reject, dict) else None
    return path if isinstance(path, str) and len(path) <= PATH else None


def _method_of(value: object) -> str | None:
    return value["_rmethod"] if isinstance(value, dict) and "_rmethod" in value else None


def call_envelope(target: str, method: str, session: str | None = None) -> dict[str, Any]:
    envelope = {"type": "method", "to": target, "method": method}
    if session is not None:
        envelope["session"] = session
    return envelope


def promise(target: str, session: str, interval: float = 0.0) -> dict[str, Any]:
    """Where the answer to a call of the hub's goes.

    interval: seconds between signs of life from a callee that takes long; 0: none, which halves
    the traffic (protocol.md 3.3).
    """
    callbacks: dict[str, Any] = {
        "resolve": reference(target, f"{session}.resolve", promise=False),
        "reject": reference(target, f"{session}.reject", promise=False),
    }
    if interval:
        callbacks["heartbeat"] = reference(target, f"{session}.heartbeat")
        callbacks["interval"] = interval
    return callbacks


def rewrite_references(
    value: Any, change: Callable[[dict[str, Any]], dict[str, Any]], depth: int = 0
) -> Any:
    """A copy of an encoded value in which every method reference was changed."""
    if depth > DEPTH:
        raise BadRequest(f"A value has at most {DEPTH} levels.")
    if isinstance(value, dict):
        if value.get("_rtype") == "method" or "_rtarget" in value:  # in a file it has no type
            return change(value)
        return {k: rewrite_references(item, change, depth + 1) for k, item in value.items()}
    if isinstance(value, list):
        return [rewrite_references(item, change, depth + 1) for item in value]
    return value


def relayed(value: Any, workspace: str) -> Any:
    """What a client of a workspace offers, as it is passed on: absolute, with readable signatures.

    No function of it leads to another workspace: whoever gets it would call that as themselves.
    """

    def change(method: dict[str, Any]) -> dict[str, Any]:
        target, path = method.get("_rtarget"), method.get("_rmethod")
        if not isinstance(target, str) or not isinstance(path, str):
            raise BadRequest("A function that travels has '_rtarget' and '_rmethod', as text.")
        check_path(path)
        address = absolute(target, workspace)
        if workspace_of(address) != workspace:
            raise BadRequest(f"A function leads to another workspace: {shown(target)}.")
        changed = {**method, "_rtarget": address}
        signature = changed.pop("_rsig", None)
        if signature is not None and is_readable(signature):
            changed["_rsig"] = signature
        return changed

    return rewrite_references(value, change)


def built_in_for_all(address: str) -> dict[str, Any]:
    """The part that anybody may call of the service that every peer has (protocol.md 5.1)."""
    return {
        "id": "built-in",
        "name": "RPC built-in services",
        "description": "",
        "type": "built-in",
        "config": {"require_context": True, "visibility": "public"},
        "ping": reference(address, PING),
    }


def built_in(address: str) -> dict[str, Any]:
    """The service that every peer has (protocol.md 5.1), as the hub's."""

    def function(path: str) -> dict[str, Any]:
        return reference(address, f"{BUILT_IN}{path}")

    return {
        **built_in_for_all(address),
        "get_service": function("get_service"),
        "message_cache": {name: function(f"message_cache.{name}") for name in _CACHE_FUNCTIONS},
    }
