"""What is answered to clients that there is no place for at the moment."""

from typing import Any

import pytest

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, pack
from hypha_cluster.web.put_off import REASON, declined

READER = FrameReader(10_000)
ME = "ann/me"


def call(to: object, **body: Any) -> bytes:
    envelope = {"type": "method", "to": to, "method": "services.tool.run", "session": "s"}
    return pack(envelope) + pack({"args": [], **body})


@pytest.mark.parametrize(
    ("to", "source"), [("you", "ann/you"), ("bob/you", "bob/you"), ("node~1", "ann/node~1")]
)
def test_a_call_is_rejected_as_by_whom_was_called(to: str, source: str) -> None:
    reject = declined(READER, call(to, promise=rpc.promise(ME, "s")))

    assert reject is not None
    frame = READER.read(reject)
    assert frame.envelope["from"] == source
    assert (frame.envelope["to"], frame.envelope["method"]) == (ME, "s.reject")
    assert rpc.error_text(frame.body["args"][0]) == REASON


def _promise(**reject: Any) -> dict[str, Any]:
    return {"reject": {"_rtype": "method", "_rtarget": ME, "_rmethod": "s.reject", **reject}}


@pytest.mark.parametrize(
    "raw",
    [
        call("workspace-manager", promise=rpc.promise(ME, "s")),
        call("bob/workspace-manager", promise=rpc.promise(ME, "s")),
        call("bob/~node", promise=rpc.promise(ME, "s")),
        call("you"),
        call(7, promise=rpc.promise(ME, "s")),
        call("x" * 1_000, promise=rpc.promise(ME, "s")),
        call("you", promise=5),
        call("you", promise=_promise(_rtarget=5)),
        call("you", promise=_promise(_rtarget="x" * 1_000)),
        call("you", promise=_promise(_rmethod="x" * 2_000)),
        pack({"to": "you"}),
        b"\xc1",
        b"",
    ],
)
def test_what_the_hub_is_asked_or_nobody_waits_for_is_not_answered(raw: bytes) -> None:
    assert declined(READER, raw) is None
