"""What may pass, and what may not."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgpack import ExtType

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.address import absolute
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.protocol.guard import (
    check_call,
    check_message,
    check_path,
    shown,
)
from hypha_cluster.protocol.limits import CLIENT_FRAME, PATH
from hypha_cluster.protocol.references import Reference

ME, YOU = "home/me", "away/you"


def read(envelope: dict[str, Any], body: dict[str, Any] | None = None) -> Frame:
    raw = pack({"type": "method", "to": "home/you", **envelope})
    return FrameReader(2**24).read(raw + (b"" if body is None else pack(body)))


def call(body: dict[str, Any], **envelope: Any) -> bytes:
    target = absolute(envelope.get("to") or YOU, "home")
    frame = read({"method": "services.s.f", **envelope}, body)
    return bytes(check_call(frame, ME, target)[0])


def reference(target: object = ME, method: object = "s.resolve") -> dict[str, Any]:
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": False}


# Paths.


@pytest.mark.parametrize(
    "method",
    [
        "services.s.f",
        "services.my-service.sub.f",
        "services.s.__enter__",
        "services.s.sub.__exit__",
        "services.s.__aenter__",
        "services.s._private",
        "services.s.timer",
        "services.built-in.message_cache.create",
        "abc.resolve",
        "abc.def.0f-<lambda>",
        "abc.1-reset",
        "abc.resolver",
        "a.timers",
        "x.constructors",
        "x.my__name__is",
    ],
)
def test_paths_of_functions_and_callbacks_may_pass(method: str) -> None:
    check_path(method)


@pytest.mark.parametrize(
    "method",
    [
        "services.s.f.__globals__",
        "services.s.__class__.__init__",
        "services.s.__enter__.__globals__",
        "services.s.__enter__.f",
        "services.s.__x",
        "services.__enter__",
        "services.__s.f",
        "services._s.f.__enter__",
        "services.s.constructor",
        "services.s.prototype.f",
        "services.constructor",
        "services.s\n.__enter__",
        "abc.resolve.__globals__.sys",
        "abc.__enter__",
        "abc.constructor",
        "abc.prototype",
        "abc._x",
        "abc._",
        "_abc.resolve",
        "abc.timer",
        "abc.timer.reset",
        "timer.reset",
        "constructor",
        "__class__",
        "abc..__class__",
        "abc.\u2028.__class__",
        "services..__class__",
    ],
)
def test_a_path_that_leads_out_is_refused(method: str) -> None:
    with pytest.raises(BadFrame, match="leads out of its"):
        check_path(method)


@pytest.mark.parametrize(
    "pattern", ["__", "__a", ".__", "_.", "services.a.__enter__.", ".constructor", "._", "a.", "\n"]
)
def test_no_path_takes_long_to_check(pattern: str) -> None:
    started = time.perf_counter()

    for prefix in ("", "services.a.", "abc."):
        with contextlib.suppress(BadFrame):
            check_path(prefix + pattern * 100_000 + "!")

    assert time.perf_counter() - started < 1


# Calls.


def test_the_body_of_a_call_passes_as_it_came() -> None:
    body = {"args": [1, {"a": b"x"}], "with_kwargs": True, "promise": {"resolve": reference()}}

    assert call(body) == pack(body)


def test_only_what_a_call_has_is_left_of_its_body() -> None:
    forged = dict.fromkeys(("from", "to", "user", "ctx", "method", "type", "session", "parent"), 1)

    assert call({**forged, "args": [1], "more": 2}) == pack({"args": [1]})


@pytest.mark.parametrize(
    "promise",
    [
        5,
        [],
        {"interval": "1"},
        {"interval": True},
        {"resolve": "x"},
        {"resolve": {"_rtarget": ME}},
        {"resolve": reference(method=5)},
        {"resolve": reference("home/you")},
        {"reject": reference("you")},
        {"heartbeat": reference("other/me")},
        {"reject": reference("")},
        {"reject": reference(None)},
    ],
)
def test_a_promise_must_lead_back_to_the_caller(promise: object) -> None:
    with pytest.raises(BadFrame, match="promise"):
        call({"args": [], "promise": promise})


@pytest.mark.parametrize("target", ["me", ME])
def test_a_promise_may_name_the_caller_in_either_form(target: str) -> None:
    names = ("resolve", "reject", "heartbeat")

    call({"promise": {"interval": 1.5, **{name: reference(target) for name in names}}})


@pytest.mark.parametrize(
    ("envelope", "complaint"),
    [
        ({"method": None}, "needs a method"),
        ({"method": 5}, "needs a method"),
        ({"method": b"services.s.f"}, "needs a method"),
        ({"session": 5}, "'session'"),
        ({"parent": ["x"]}, "'parent'"),
        ({"to": "home/you:services"}, "not found"),
        ({"to": "/you"}, "not found"),
    ],
)
def test_a_call_is_made_of_text(envelope: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFrame, match=complaint):
        call({}, **envelope)


@pytest.mark.parametrize("args", [5, "text", {"a": 1}, None])
def test_arguments_are_a_list(args: object) -> None:
    with pytest.raises(BadFrame, match="'args'"):
        call({"args": args})


@pytest.mark.parametrize(
    "body", [{"__proto__": 1}, {"args": [{"__proto__": 1}]}, {"promise": {"__proto__": {}}}]
)
def test_no_map_has_the_key_that_javascript_refuses(body: dict[str, Any]) -> None:
    with pytest.raises(BadFrame, match="__proto__"):
        call(body)


def test_the_word_that_javascript_refuses_as_a_key_may_be_a_value() -> None:
    assert call({"args": ["__proto__", b"__proto__"]}) == pack(
        {"args": ["__proto__", b"__proto__"]}
    )


@pytest.mark.parametrize("to", ["home/you", "you"])
def test_a_client_gets_no_frame_that_it_could_not_read(to: str) -> None:
    call({"args": [bytes(CLIENT_FRAME - 1_000)]}, to=to)

    with pytest.raises(BadFrame, match="at most"):
        call({"args": [bytes(CLIENT_FRAME)]}, to=to)


@pytest.mark.parametrize("to", ["home/workspace-manager", "workspace-manager", "home/~node"])
def test_the_hub_takes_longer_frames(to: str) -> None:
    call({"args": [bytes(CLIENT_FRAME)]}, to=to)


# Other messages.


def test_a_message_of_any_type_may_pass() -> None:
    check_message(read({"type": "news", "x": [1, {"a": 2}], "method": "m"}))


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({"type": None}, "needs a type"),
        ({"type": 5}, "needs a type"),
        ({"type": ["method"]}, "needs a type"),
        ({"type": "disconnect"}, "of a client's own"),
        ({"type": "service-updated"}, "of a client's own"),
        ({"type": "news", "method": 5}, "'method'"),
        ({"type": "news", "method": "x" * (PATH + 1)}, "'method'"),
        ({"type": "news", "__proto__": 5}, "__proto__"),
        ({"type": "news", "x": bytes(CLIENT_FRAME)}, "at most"),
        ({"type": "news", "to": "workspace-manager"}, "calls only"),
        ({"type": "news", "to": "home/~node"}, "calls only"),
        ({"type": "news", "to": "home/you:mail"}, "not found"),
    ],
)
def test_a_message_that_would_do_harm_is_refused(message: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFrame, match=complaint):
        check_message(read(message))


@pytest.mark.parametrize("text", ["a\nb", "a\r\x1b[2Jb", "\x85\u2028\u202e", "x" * 10_000])
def test_what_a_client_sent_is_shown_on_one_short_line(text: str) -> None:
    shortened = shown(text)

    assert shortened.isprintable()
    assert len(shortened) <= 101
    assert len(shortened.splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1] * 1_000] * 1_000, "a list of 1000"),
        ({"x": "y" * 1_000_000}, "a map of 1"),
        (ExtType(5, bytes(1_000_000)), "a list of 2"),
        (None, "None"),
        (1.5, "1.5"),
        (True, "True"),
    ],
)
def test_what_is_no_text_is_shown_by_its_kind(value: object, expected: str) -> None:
    assert shown(value) == expected


# Names.


@pytest.mark.parametrize("name", ["method", "session", "parent"])
def test_a_name_has_an_end(name: str) -> None:
    call({}, **{name: "x" * PATH})

    with pytest.raises(BadFrame, match=r"1,024 characters") as refused:
        call({}, **{name: "x" * (PATH + 1)})
    assert len(str(refused.value)) < 300


def test_an_address_has_an_end() -> None:
    call({}, to="a" * 256 + "/" + "b" * 256)

    with pytest.raises(BadFrame, match="no address") as refused:
        call({}, to="a" * 256 + "/" + "b" * 257)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["resolve", "reject", "heartbeat"])
def test_a_callback_has_an_end(name: str) -> None:
    call({"promise": {name: reference(method="x" * PATH)}})

    with pytest.raises(BadFrame, match=r"1,024 characters"):
        call({"promise": {name: reference(method="x" * (PATH + 1))}})


# What a client has for itself.

OWN = ("register_service", "register_service.call", "message_cache", "anything")


@pytest.mark.parametrize("function", OWN)
def test_what_a_client_has_for_itself_is_not_for_other_workspaces(function: str) -> None:
    with pytest.raises(BadFrame, match="own workspace only"):
        call({"args": []}, method=f"services.built-in.{function}", to="abroad/you")


@pytest.mark.parametrize("to", ["you", "home/you", "workspace-manager"])
@pytest.mark.parametrize("function", OWN)
def test_what_a_client_has_for_itself_is_for_its_workspace(function: str, to: str) -> None:
    call({"args": []}, method=f"services.built-in.{function}", to=to)


@pytest.mark.parametrize("function", ["ping", "get_service", "message_cache.create"])
def test_what_clients_need_to_talk_at_all_is_for_everybody(function: str) -> None:
    call({"args": []}, method=f"services.built-in.{function}", to="abroad/you")


# Functions of others.


def leads(args: list[Any], **body: Any) -> set[Reference]:
    frame = read({"method": "services.s.f"}, {"args": args, **body})
    return set(check_call(frame, ME, YOU)[1])


def promised() -> dict[str, Any]:
    return {name: reference(method=f"s.{name}") for name in ("resolve", "reject", "heartbeat")}


def test_a_call_with_its_promise_leads_nowhere_else() -> None:
    assert leads([1], promise=promised()) == set()
    assert leads([reference(), reference("me")], promise=promised()) == set()


@pytest.mark.parametrize("promise", [{}, promised(), {"resolve": reference(), "x": 1, "y": 2}])
def test_where_functions_among_the_arguments_lead_is_told(promise: dict[str, Any]) -> None:
    foreign = reference("away/other", "services.closed.f")

    assert leads([{"a": foreign}], promise=promise) == {Reference("away/other", "closed")}
    assert leads([foreign, foreign, reference()]) == {Reference("away/other", "closed")}


@pytest.mark.parametrize("home", ["", "home/"])
@pytest.mark.parametrize("name", ["_rtarget", "x_rtarget", "__proto__", "me_rtarget"])
def test_nothing_is_overlooked_behind_the_senders_own_functions(name: str, home: str) -> None:
    me = f"home/{name}"
    own = {"_rtype": "method", "_rtarget": f"{home}{name}", "_rmethod": "s.resolve"}
    other = own | {"_rtarget": "away/other", "_rmethod": "services.closed.delete"}
    body = {"args": [own, {name: other}, "_rtarget"], "promise": {"resolve": own}}
    frame = read({"method": "services.s.f"}, body)

    if name == "__proto__":
        with pytest.raises(BadFrame, match="__proto__"):
            check_call(frame, me, "home/you")
    else:
        assert check_call(frame, me, "home/you")[1] == {Reference("away/other", "closed")}


def test_the_senders_own_functions_may_be_written_in_any_length() -> None:
    raw = read({"method": "services.s.f"}, {"args": [reference()]}).raw
    longer = raw.replace(pack(ME), b"\xda\x00\x07home/me")
    assert longer != raw

    frame = FrameReader(CLIENT_FRAME).read(longer)

    assert check_call(frame, ME, "home/you")[1] == set()


def test_what_is_hidden_in_a_promise_is_told_too() -> None:
    foreign = reference("away/other", "services.closed.f")

    assert leads([], promise={**promised(), "x": foreign}) == {Reference("away/other", "closed")}
    assert leads([], promise={"resolve": {**reference(), "_rdoc": foreign}}) != set()


# Long frames, whose values are looked at where that is quicker.

PADDING: dict[str, Any] = {
    "one array": bytes(100_000),
    "a list of numbers": list(range(10_000)),
    "many records": [{"a": number, "b": []} for number in range(1_000)],
    "text": "x" * 10_000,
    "many points": [[number / 7, number / 11] for number in range(12_000)],
}
PLACES: dict[str, Callable[[Any], Any]] = {
    "beside it": lambda hidden: [hidden],
    "in a list": lambda hidden: [[1, [2, [hidden]]]],
    "in a map": lambda hidden: [{"a": {"b": {"c": hidden}}}],
    "among many": lambda hidden: [*range(200), hidden],
    "deep": lambda hidden: [[[[[[[[[[[[hidden]]]]]]]]]]]],
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("first", [True, False])
def test_nothing_is_overlooked_in_a_long_frame(padding: str, place: str, first: bool) -> None:
    foreign = reference("away/other", "services.closed.f")
    for hidden in (foreign, {"__proto__": 1}):
        values = [PADDING[padding], *PLACES[place](hidden)]
        values = values if first else values[::-1]

        if hidden is foreign:
            assert leads(values) == {Reference("away/other", "closed")}
        else:
            with pytest.raises(BadFrame, match="__proto__"):
                leads(values)


@pytest.mark.parametrize("padding", PADDING)
def test_a_long_frame_without_functions_leads_nowhere(padding: str) -> None:
    assert leads([{"_rtype": "ndarray", "_rvalue": PADDING[padding]}], promise=promised()) == set()


@pytest.mark.parametrize(
    "hide",
    [
        lambda hidden: {**promised(), "x": hidden},
        lambda hidden: {**promised(), "resolve": {**reference(), "_rdoc": hidden}},
        lambda hidden: {**promised(), "resolve": {**reference(), "_rdoc": [hidden]}},
    ],
)
def test_nothing_is_overlooked_in_the_promise_of_a_long_frame(
    hide: Callable[[Any], dict[str, Any]],
) -> None:
    foreign = reference("away/other", "services.closed.f")

    assert leads([bytes(9_000)], promise=hide(foreign)) == {Reference("away/other", "closed")}
    with pytest.raises(BadFrame, match="__proto__"):
        leads([bytes(9_000)], promise=hide({"__proto__": 1}))
    with pytest.raises(BadFrame, match="__proto__"):
        leads([bytes(9_000)], promise={"resolve": {**reference(), "__proto__": 1}})


def test_what_is_hidden_beside_the_arguments_of_a_long_frame_is_not_forwarded() -> None:
    frame = read({"method": "services.s.f"}, {"args": [bytes(9_000)], "x": {"__proto__": 1}})

    with pytest.raises(BadFrame, match="__proto__"):
        check_call(frame, ME, YOU)


@pytest.mark.parametrize("name", ["args", "promise"])
@pytest.mark.parametrize("hidden", [reference("away/other", "services.closed.f"), {"__proto__": 1}])
def test_what_is_written_over_is_not_overlooked_among_many_points(name: str, hidden: Any) -> None:
    fields = [(name, [hidden]), ("args", PADDING["many points"]), ("promise", promised())]
    body = b"\x83" + b"".join(pack(key) + pack(value) for key, value in fields)
    frame = FrameReader(CLIENT_FRAME).read(pack({"method": "services.s.f"}) + body)

    if "__proto__" in hidden:
        with pytest.raises(BadFrame, match="__proto__"):
            check_call(frame, ME, YOU)
    else:
        assert check_call(frame, ME, YOU)[1] == {Reference("away/other", "closed")}
