"""The way of a frame: WebSocket frames, messages, the guard, messages in chunks."""

from typing import Final

from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.serving.http11.websocket_frames import (
    INVALID_DATA,
    PROTOCOL_ERROR,
    TOO_BIG,
    Close,
    FrameError,
    FrameParser,
    parse_close,
)
from tests.frame_path import FramePath
from tests.fuzz.parts import check_refusal, cut
from tests.passed import check_frame, check_whole

_LIMIT: Final = 2_000
_CLOSE: Final = 8
_REFUSED: Final = (-1, "")
_REFUSALS: Final = dict.fromkeys((PROTOCOL_ERROR, INVALID_DATA, TOO_BIG), _REFUSED)

Told = list[tuple[int, bytes | str]]


def frames(data: bytes) -> None:
    """Bytes of a WebSocket: each message that they make takes the way of a frame."""
    whole, in_parts = _told([data[1:]]), _told(cut(data))
    if whole != in_parts:  # but one that is not whole may be refused a few bytes later
        assert in_parts in (whole[:-1], [*whole, _REFUSED]), "it matters how the bytes come"
        assert _REFUSED in (*whole, *in_parts)
    path = FramePath()
    for kind, message in whole:
        if kind == 0 and isinstance(message, bytes):
            path.route(message)
    _check(path)


def _told(parts: list[bytes]) -> Told:
    """Messages, control frames by their opcode, and whether the rest is refused."""
    told: Told = []

    def on_control(opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            close = parse_close(payload)
            assert isinstance(close, Close)
        told.append((opcode, payload))

    parser = FrameParser(_LIMIT, lambda message: told.append((0, message)), on_control)
    for part in parts:
        try:
            parser.feed(part)
        except FrameError as error:
            told.append(_REFUSALS[error.code])  # of two wrongs either may be seen first
            break
    return told


def messages(data: bytes) -> None:
    """One frame of the protocol, as it is in its WebSocket message."""
    path = FramePath()
    path.route(data)
    _check(path)


def chunks(data: bytes) -> None:
    """A message in chunks, cut in any way."""
    whole = _in_chunks([data[1:]])
    in_parts = _in_chunks(cut(data))
    assert whole.whole == in_parts.whole, "it matters how a message is cut"
    _check(whole)
    _check(in_parts)


def _in_chunks(parts: list[bytes]) -> FramePath:
    path = FramePath()

    def step(action: str, *args: object) -> None:
        envelope = {"type": "method", "to": "bob/you", "method": f"{CACHE}{action}"}
        promise = {"resolve": _ANSWER, "reject": _ANSWER}
        path.route(pack(envelope) + pack({"args": ["key", *args, False], "promise": promise}))

    step("create")
    for part in parts:
        step("append", part)
    step("process")
    return path


_ANSWER: Final = {"_rtype": "method", "_rtarget": "me", "_rmethod": "s.resolve"}


def _check(path: FramePath) -> None:
    for passed in path.passed:
        check_frame(passed)
    for whole in path.whole:
        check_whole(whole)
    for refusal in path.refusals:
        check_refusal(refusal)
