"""What calls and their answers are made of."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, pack
from hypha_cluster.protocol.limits import ERROR, PATH


def caller(promise: dict[str, Any], **envelope: Any) -> rpc.Caller:
    raw = pack({"type": "method", **envelope}) + pack({"promise": promise})
    return rpc.Caller.of(FrameReader(10_000).read(raw), "home/me", "home/you")


def test_a_caller_is_answered_where_its_promise_says() -> None:
    promise = {name: rpc.reference("me", f"s.{name}") for name in ("resolve", "reject")}

    found = caller(promise, session="s")

    assert found == rpc.Caller("home/me", "home/you", "s", "s.resolve", "s.reject", None, 0.0)


def test_a_call_without_a_promise_has_no_answer() -> None:
    raw = pack({"type": "method", "method": "services.s.f"})

    found = rpc.Caller.of(FrameReader(10_000).read(raw), "home/me", "home/you")

    assert (found.session, found.resolve, found.reject, found.interval) == (None, None, None, 0.0)


@pytest.mark.parametrize(
    ("asked", "given"),
    [(15, 15), (0.5, 0.5), (1e-9, 0.1), (0, 0), (-1, 0), (1e300, 3_600), (float("inf"), 3_600)],
)
def test_heartbeats_come_at_a_bearable_rate(asked: float, given: float) -> None:
    assert caller({"interval": asked}).interval == given


def test_an_interval_that_is_no_number_means_no_heartbeats() -> None:
    assert caller({"interval": float("nan")}).interval == 0


def test_an_error_is_told_as_text() -> None:
    assert rpc.error("it broke") == {"_rtype": "error", "_rvalue": "it broke"}
    assert rpc.error_text(rpc.error("it broke")) == "it broke"
    assert rpc.error_text({"_rvalue": 5}) == "{'_rvalue': 5}"
    assert rpc.error_text("plain") == "plain"


TRACE = """Traceback (most recent call last):
  File "rpc.py", line 1, in call
    result = method()
             ^^^^^^^^
  Plugin script, line 7, in f
    assert x > 0
"""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TRACE + "ValueError: it broke\n", "ValueError: it broke"),
        (TRACE + "ValueError: it\n  broke\ntwice", "ValueError: it\n  broke\ntwice"),
        ("it\nbroke", "it\nbroke"),
        ("Traceback (most recent call last):", ""),
        ("", ""),
        (" ", ""),
    ],
)
def test_an_error_is_told_without_its_trace(value: str, text: str) -> None:
    silent = "The function failed without a word; its client's log may say more."

    assert rpc.error_text({"_rvalue": value}) == (text or silent)
    assert rpc.error_text({"_rvalue": "", "_rtrace": value}) == (text or silent)
    assert rpc.error_text({"_rvalue": value, "_rtrace": TRACE + "Named"}) == (text or "Named")
    assert rpc.error_text({"_rvalue": "", "_rtrace": 5}) == silent


def test_a_promise_of_the_hubs_asks_for_heartbeats_only_when_it_needs_them() -> None:
    assert rpc.promise("w/~n", "s").keys() == {"resolve", "reject"}
    assert rpc.promise("w/~n", "s", 5.0)["interval"] == 5.0


# Relaying.


def test_references_that_are_passed_on_are_absolute() -> None:
    near, far = rpc.reference("c", "services.s.f"), rpc.reference("home/d", "s.1")

    relayed = rpc.relayed({"f": near, "g": [far]}, "home")

    assert relayed == {"f": {**near, "_rtarget": "home/c"}, "g": [far]}
    assert near["_rtarget"] == "c"


@pytest.mark.parametrize("target", ["other/c", "homely/c", "/c", "home"])
@pytest.mark.parametrize("method", ["services.s.f", "s.1"])
def test_functions_that_lead_to_another_workspace_are_not_passed_on(
    target: str, method: str
) -> None:
    leads = rpc.reference(target, method)
    service = {"f": rpc.reference("c", "services.s.f"), "g": [{"h": leads}]}
    untyped = {"_rtype": "iostream", "_rnative": "js:blob", "read": {**leads, "_rtype": 5}}

    if "/" in target:
        for value in (service, untyped):
            with pytest.raises(BadRequest, match="another workspace"):
                rpc.relayed(value, "home")
    else:
        assert rpc.relayed(leads, "home")["_rtarget"] == f"home/{target}"


def test_other_values_are_passed_on_as_they_are() -> None:
    value = {"a": 1, "b": b"x", "c": [None, {"_rtype": "ndarray", "_rvalue": b"1"}]}

    assert rpc.relayed(value, "home") == value


@pytest.mark.parametrize("signature", ["f()", "f(a)", "f(a, b)"])
def test_a_signature_that_every_release_reads_is_passed_on(signature: str) -> None:
    reference = {**rpc.reference("c", "services.s.f"), "_rsig": signature}

    assert rpc.relayed(reference, "home")["_rsig"] == signature


@pytest.mark.parametrize("signature", ["f", "f(a={'x': 1})", "f(*, a)", "f(a: a.b)", None, 5])
def test_a_signature_that_some_release_cannot_read_is_left_out(signature: object) -> None:
    reference = {**rpc.reference("c", "services.s.f"), "_rsig": signature}

    assert "_rsig" not in rpc.relayed(reference, "home")


@pytest.mark.parametrize(
    "broken",
    [
        {"_rtype": "method"},
        {**rpc.reference("c", "x.y"), "_rtarget": None},
        {**rpc.reference("c", "x.y"), "_rmethod": 5},
        rpc.reference("c", "services.s.f.__globals__"),
        rpc.reference("c", "x.constructor"),
    ],
)
def test_a_function_that_cannot_be_called_is_not_passed_on(broken: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        rpc.relayed({"f": [broken]}, "home")


def test_a_value_of_too_many_levels_is_not_passed_on() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert rpc.relayed(deep, "home") == deep

    for _ in range(5_000):
        deep = {"a": deep}
    with pytest.raises(BadRequest, match="levels"):
        rpc.relayed(deep, "home")


# Bounds.


def test_an_error_has_an_end() -> None:
    assert rpc.error("x" * ERROR)["_rvalue"] == "x" * ERROR
    assert len(rpc.error("x" * 1_000_000)["_rvalue"]) == ERROR + 1


def test_nobody_is_told_by_a_callback_of_a_long_name() -> None:
    for length, expected in ((PATH, True), (PATH + 1, False)):
        path = "x" * (length - 7) + ".reject"
        assert (rpc.reject_path({"reject": {"_rmethod": path}}) is not None) == expected
        assert (rpc.reject_instead_of(path) is not None) == expected


@pytest.mark.parametrize("method", ["x.__globals__.resolve", "_x.resolve", "x.constructor.reject"])
def test_no_answer_leads_out_of_its_session(method: str) -> None:
    assert rpc.reject_instead_of(method) is None


def test_an_answer_that_may_not_pass_is_a_reject() -> None:
    assert rpc.reject_instead_of("3jNv.resolve") == "3jNv.reject"
    assert rpc.reject_instead_of("3jNv.x.reject") == "3jNv.x.reject"
    assert rpc.reject_instead_of("services.s.resolve") is None
    assert rpc.reject_instead_of("3jNv.progress") is None
    assert rpc.reject_instead_of(5) is None
