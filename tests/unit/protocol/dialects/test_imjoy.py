"""What is particular to imjoy-rpc, asked by the one door."""

import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.envelope import pack

ME, YOU = "ann/me", "ann/you"


def raw(method: str = "services.tool.run") -> bytes:
    envelope = rpc.call_envelope("you", method, "s")
    return pack(envelope) + pack({"args": [1], "promise": rpc.promise("me", "s")})


def test_a_frame_is_read_checked_and_sealed() -> None:
    frame = IMJOY.read(raw())
    body, references = IMJOY.check_call(frame, ME, YOU)

    sealed = IMJOY.read(IMJOY.seal(ME, {"id": "ann"}).call({**frame.envelope, "to": YOU}, body))

    assert not references
    assert sealed.envelope["from"] == ME
    assert sealed.envelope["user"] == {"id": "ann"}
    assert sealed.body == frame.body


def test_what_would_harm_others_is_refused() -> None:
    with pytest.raises(BadFrame):
        IMJOY.read(b"\xc1")
    with pytest.raises(BadFrame):
        IMJOY.check_call(IMJOY.read(raw("services.tool.__class__")), ME, YOU)
    with pytest.raises(BadFrame):
        IMJOY.check_message(IMJOY.read(pack({"type": "disconnect", "to": "you"})))


def test_what_cannot_be_read_whole_still_says_who_waits() -> None:
    promise = pack("promise") + pack(rpc.promise("me", "s"))
    odd = (
        pack(rpc.call_envelope("you", "f", "s"))
        + b"\x82"
        + promise
        + pack("args")
        + b"\x81\x01\x02"
    )

    with pytest.raises(BadFrame):
        IMJOY.read(odd)
    frame = IMJOY.salvage(odd)

    assert frame is not None
    assert rpc.reject_path(frame.body["promise"]) == "s.reject"


def test_the_service_that_is_called_is_known() -> None:
    call = IMJOY.read(raw())
    callback = IMJOY.read(raw("session.send"))

    assert IMJOY.service_called(call.envelope, call.body) == "tool"
    assert IMJOY.service_called(callback.envelope, callback.body) is None


def test_chunks_are_followed() -> None:
    create = IMJOY.read(raw(f"{IMJOY.cache}create").replace(b"\x91\x01", b"\x91\xa1k"))
    chunks = IMJOY.chunks(ME, 1_000)

    step = chunks.check(create, YOU)

    assert step.args[0] != "k"  # nobody else knows under which key a target puts it together
