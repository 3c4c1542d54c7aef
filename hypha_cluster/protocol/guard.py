"""What may not pass: forged keys, traversal paths, frames that would break a client.

A peer merges the body into the envelope, resolves `method` by walking attributes, and dies on
some msgpack; so whatever a client sends is checked here before another one gets it
(protocol.md 2.1, 2.5).
"""

import re
from collections.abc import Set
from typing import Any, Final

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.address import is_hub, workspace_of
from hypha_cluster.protocol.envelope import Frame, pack
from hypha_cluster.protocol.limits import ADDRESS, CLIENT_FRAME, PATH, SHOWN
from hypha_cluster.protocol.references import Reference, References, own

BODY_KEYS: Final = frozenset(("args", "with_kwargs", "promise"))
CALL_KEYS: Final = frozenset(("type", "from", "to", "user", "method", "session", "parent"))
# Events that a client fires at itself; a peer that sends one would fake it.
LOCAL_EVENTS: Final = frozenset(("disconnect", "service-updated"))
BUILT_IN: Final = "services.built-in."
PING: Final = f"{BUILT_IN}ping"
GET_SERVICE: Final = f"{BUILT_IN}get_service"
CACHE: Final = f"{BUILT_IN}message_cache."
_FOR_ALL: Final = (PING, GET_SERVICE)
_SESSIONS: Final = ("session", "parent")
_CALLBACKS: Final = ("resolve", "reject", "heartbeat")

# A path is walked through items *and attributes*, so these lead out of what was offered.
_WAY_OUT: Final = re.compile(r"(?:^|\.)(?:__[^.]*__|__[^.]*|constructor|prototype)(?=\.|$)")
_CONTEXT_MANAGER: Final = re.compile(r"services\.[^_].*\.__(?:enter|exit|aenter|aexit)__")
# Keys that are looked for by their bytes, in one go: that of a function with the text behind it,
# which ends where the next value begins. No key is in such a text, for it begins with its length.
_MARKS: Final = re.compile(rb"_(?:_proto__|rtarget(?:[\x80-\xff][ -~]*)?)")
_LONG: Final = 4_096  # bytes from which a look at the values may be quicker than one at the bytes
_LOOKS: Final = 64  # values that are looked at
_PROTO: Final = b"__proto__"
_TARGET: Final = b"_rtarget"
NO_REFERENCES: Final[Set[Reference]] = frozenset()
_SESSION_WAY_OUT: Final = re.compile(r"(?:^|\.)(?:_|timer(?:\.|$))")


def shown(value: object) -> str:
    """What a client sent, fit for a message and a line of a log: on one line, and not too long."""
    if isinstance(value, str | bytes):
        text = repr(value[:SHOWN])
    elif isinstance(value, list | tuple | dict):  # which may be long, deep, and both
        text = f"a {'map' if isinstance(value, dict) else 'list'} of {len(value)}"
    elif value is None or isinstance(value, int | float):
        text = repr(value)
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def check_path(method: str) -> None:
    """Refuse a method path by which a peer could reach more than it was offered."""
    if not ("_" in method or "constructor" in method or "prototype" in method or "timer" in method):
        return  # nothing that leads out; so most are settled without a regular expression
    if method.startswith("services."):
        if _WAY_OUT.search(method) and not _is_context_manager(method):
            raise BadFrame(f"The method path {shown(method)} leads out of its service.")
    elif _WAY_OUT.search(method) or _SESSION_WAY_OUT.search(method):
        raise BadFrame(f"The method path {shown(method)} leads out of its session.")


def _is_context_manager(method: str) -> bool:
    """`services.<service>.__enter__` and its kin are functions of a service like others."""
    return _CONTEXT_MANAGER.fullmatch(method) is not None and method.count(".__") == 1


def check_call(frame: Frame, source: str, target: str) -> tuple[bytes | memoryview, Set[Reference]]:
    """Check a frame of type `method` from `source`.

    Return the body that may be forwarded, and the services of other workspaces to which functions
    in it lead.
    """
    body, size, method = frame.body, len(frame.raw), check_method(frame.envelope)
    _check_target(frame, size)
    if is_built_in := method.startswith(BUILT_IN):
        check_built_in(method, source, target)
    if "args" in body and not isinstance(body["args"], list):
        raise BadFrame("'args' of a call is a list.")
    if "promise" in body:
        check_promise(body["promise"], source)
    references = NO_REFERENCES
    is_chunk = is_built_in and method.startswith(CACHE)
    if not is_chunk and (size < _LONG or not _is_plain(frame)):
        raw = frame.raw
        # Mostly all functions are as those of a promise, or all as those of an answer: in a few
        # bytes that is quickly counted.
        if (
            size >= _LONG
            or (
                (many := raw.count(_TARGET))
                and many != raw.count(own(source).with_id)
                and many != raw.count(own(source).with_address)
            )
            or _PROTO in raw
        ):
            references = _check_marks(frame, source, target)
    if body.keys() <= BODY_KEYS:
        return frame.body_bytes, references
    return pack({key: value for key, value in body.items() if key in BODY_KEYS}), references


def _is_plain(frame: Frame) -> bool:
    """Whether a look at the values shows that no scan of the bytes is needed: one array, say."""
    body = frame.body
    if body.keys() - BODY_KEYS or not _is_bare(body.get("promise", {})):
        return False
    if frame.maps is not None and frame.maps == _maps_known(body):
        return True
    pending, looks = [body.get("args", [])], _LOOKS
    while pending and looks > 0:
        value = pending.pop()
        if isinstance(value, dict):
            if "_rtarget" in value or "__proto__" in value:
                return False
            value = value.values()
        looks -= len(value)
        if looks > 0:
            pending.extend(item for item in value if isinstance(item, dict | list))
    return looks > 0


def _maps_known(body: dict[str, Any]) -> int:
    """How many maps a call has if there are none in its arguments, nor in its envelope."""
    promise = body.get("promise")
    return 2 + (0 if promise is None else 1 + sum(name in promise for name in _CALLBACKS))


def _is_bare(promise: dict[str, Any]) -> bool:
    """Whether a promise that was checked has its callbacks in it, and nothing besides."""
    callbacks = [promise[name] for name in _CALLBACKS if name in promise]
    return len(promise) == len(callbacks) + ("interval" in promise) and not any(
        isinstance(value, dict | list) or key == "__proto__"
        for callback in callbacks
        for key, value in callback.items()
    )


def _check_marks(frame: Frame, source: str, target: str) -> Set[Reference]:
    """Look for what may be a dangerous key, or a function that is not the sender's."""
    marks = _MARKS.findall(frame.raw)
    if own(source).targets.issuperset(marks):
        return NO_REFERENCES
    if _PROTO in marks:
        _check_keys(frame)
    return References(source, target).feed(frame.raw)


def check_method(envelope: dict[str, Any]) -> str:
    """Check what the envelope of a call says of the function and its session; return its path."""
    method = envelope.get("method")
    if type(method) is not str:  # exactly what a reader of msgpack makes, here and below
        raise BadFrame("A call needs a method, as text.")
    if len(method) > PATH:
        raise BadFrame(f"The method path {shown(method)} has more than {PATH:,} characters.")
    check_path(method)
    for key in _SESSIONS:
        if key in envelope and (type(envelope[key]) is not str or len(envelope[key]) > PATH):
            raise BadFrame(f"{key!r} of a call is text, of {PATH:,} characters at most.")
    return method


def check_built_in(method: str, source: str, target: str) -> None:
    """Refuse a client's built-in functions, such as `register_service`, to other workspaces.

    JavaScript clients do not check that: called with a single argument, such a function takes the
    context, which comes last, for its second one.
    """
    if not method.startswith(BUILT_IN) or method in _FOR_ALL or method.startswith(CACHE):
        return
    if workspace_of(target) not in (target, workspace_of(source)):
        raise BadFrame(f"{shown(method)} may be called from the client's own workspace only.")


def service_called(envelope: dict[str, Any], body: dict[str, Any]) -> str | None:
    """The name of the service that is called; None for a callback and for built-in functions.

    Only the client knows who may call its callbacks. The built-in `get_service` counts as a call of
    the service that it asks for; BadFrame if it names none.
    """
    services, _, path = envelope["method"].partition(".")
    if services != "services":
        return None
    if envelope["method"] == GET_SERVICE:
        return _service_looked_at(body)
    service: str = path.partition(".")[0]
    return None if service == "built-in" else service


def _service_looked_at(body: dict[str, Any]) -> str:
    args = body.get("args") or [None]
    kwargs = args[-1] if body.get("with_kwargs") else None
    asked = kwargs.get("service_id", args[0]) if isinstance(kwargs, dict) else args[0]
    if type(asked) is not str:
        raise BadFrame(f"{GET_SERVICE} of another workspace takes a service id, as text.")
    return asked


def check_promise(promise: object, source: str) -> None:
    """A promise leads back to whoever makes the call; else callees could be sent elsewhere."""
    if type(promise) is not dict:
        raise BadFrame("'promise' of a call is a map.")
    if "interval" in promise and type(promise["interval"]) not in (int, float):
        raise BadFrame("'interval' of a promise is a number of seconds.")
    callers = own(source).names
    for name in _CALLBACKS:
        if name not in promise:
            continue
        reference = promise[name]
        if (
            type(reference) is not dict
            or type(path := reference.get("_rmethod")) is not str
            or reference.get("_rtarget") not in callers
        ):
            raise BadFrame(f"{name!r} of a promise leads back to the caller, {source}.")
        if len(path) > PATH:
            raise BadFrame(f"{name!r} of a promise has a path of more than {PATH:,} characters.")


def check_message(frame: Frame) -> None:
    """Check a frame of a type other than `method` (protocol.md 2.3)."""
    kind = frame.envelope.get("type")
    if not isinstance(kind, str):
        raise BadFrame("A frame needs a type, as text.")
    if kind in LOCAL_EVENTS:
        raise BadFrame(f"{kind!r} is an event of a client's own; choose another type.")
    if _is_for_hub(frame):
        raise BadFrame("The hub takes calls only.")
    method = frame.envelope.get("method", "")
    if not isinstance(method, str) or len(method) > PATH:
        raise BadFrame(f"'method' of a frame is text, of {PATH:,} characters at most.")
    _check_target(frame, len(frame.raw))
    if _PROTO in frame.raw:
        _check_keys(frame)


def _check_target(frame: Frame, size: int) -> None:
    to = frame.envelope.get("to", "")
    # Else it could lead to another key in Redis.
    if type(to) is not str or ":" in to or to[:1] == "/" or len(to) > ADDRESS:
        raise BadFrame(f"Client not found: {shown(to)} is no address of a client.")
    if size > CLIENT_FRAME and not _is_for_hub(frame):
        raise BadFrame(
            f"A frame to a client has at most {CLIENT_FRAME} bytes; send more in chunks."
        )


def _is_for_hub(frame: Frame) -> bool:
    """Whether a frame is for the hub: for a manager, or for a node under its own name."""
    return is_hub(f"/{frame.envelope.get('to', '')}")


def _check_keys(frame: Frame) -> None:
    """JavaScript's decoder refuses a whole frame for a key `__proto__` (protocol.md 2.1)."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(frame.raw), object_hook=_refuse_proto)
    unpacker.feed(frame.raw)
    unpacker.unpack()
    if unpacker.tell() < len(frame.raw):
        unpacker.unpack()


def _refuse_proto(value: dict[str, Any]) -> dict[str, Any]:
    if "__proto__" in value:
        raise BadFrame("No map may have a key '__proto__'.")
    return value
