"""What has to be true of whatever a client may send on, by what another one makes of it."""

from collections.abc import Iterable

import msgpack

from tests.frame_path import HOME, ME, USER, Passed, Whole
from tests.published_decoder import Function, Heard, Receiver, keys_in

MOST = 1_024_000  # bytes at which a published client stops reading for good
_LOCAL = ("disconnect", "service-updated")
_CALL = {"type", "from", "to", "user", "method", "session", "parent"}


def check_frame(passed: Passed) -> None:
    """A frame, as its target gets it."""
    assert len(passed.sealed) <= MOST
    assert "__proto__" not in keys_in(passed.sealed)
    heard = Receiver(passed.target).take(passed.sealed)
    message, context = heard.message, heard.context
    for seen in (message, context):
        assert seen["from"] == ME
        assert seen["user"] == USER.to_wire()
        assert seen["to"] == passed.target
    assert isinstance(message["type"], str)
    assert message["type"] not in _LOCAL
    if message["type"] == "method":
        assert context.keys() <= _CALL
        assert message.keys() <= {*_CALL, "ctx", "args", "with_kwargs", "promise"}
        _check_method(heard, message["method"])
        _check_functions(heard, passed.target, passed)
    else:
        assert "ctx" not in context


def check_whole(whole: Whole) -> None:
    """A message in chunks, as its target puts it together.

    The hub does not open all that is in it; what a client cannot read is an error to its sender.
    """
    sent = {"from": ME, "to": whole.target, "user": USER.to_wire()}
    try:
        heard = Receiver(whole.target).take_chunks(whole.message, sent)
    except (ValueError, TypeError, msgpack.UnpackException):
        return
    assert {key: heard.message[key] for key in sent} == sent
    assert heard.message["type"] == "method"
    assert heard.context.keys() <= _CALL
    _check_method(heard, heard.message["method"])
    _check_functions(heard, whole.target, whole)


def _check_method(heard: Heard, method: object) -> None:
    """What is called is what the context says, and is no way out of what was offered."""
    assert heard.context["method"] == method
    assert isinstance(method, str)
    parts = method.split(".")
    last = ("__enter__", "__exit__", "__aenter__", "__aexit__")
    within = parts[:-1] if parts[0] == "services" and parts[-1] in last else parts
    assert not any(part.startswith("__") for part in within), method
    assert not {"constructor", "prototype"} & set(parts), method
    if parts[0] != "services":
        assert not any(part.startswith("_") for part in parts), method
        assert "timer" not in parts, method


def _check_functions(heard: Heard, target: str, what: Passed | Whole) -> None:
    """They lead to the sender's own workspace, or to what was asked whether it may be reached."""
    assert all(callback.target == ME for callback in heard.callbacks), heard.callbacks
    asked = {(each.address, each.service) for each in what.asked}
    for address, service in _led_to(heard.functions):
        if address.partition("/")[0] != HOME:
            assert (address, service) in asked, (address, service, what.asked)
    method = heard.message["method"]
    if target.partition("/")[0] != HOME and method.startswith("services."):
        service = method.split(".")[1]
        assert service == "built-in" or (target, service) in asked, (target, service)


def _led_to(functions: Iterable[Function]) -> Iterable[tuple[str, str]]:
    """Services to which functions lead; a callback is guarded by whoever offers it."""
    for function in functions:
        if isinstance(function.target, str) and isinstance(function.method, str):
            services, _, path = function.method.partition(".")
            if services == "services":
                yield function.target, path.partition(".")[0]
