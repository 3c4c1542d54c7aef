"""The client that packs its frames in advance, against the server's own parser."""

from benchmarks.load.raw_client import call_frame, masked, reply_frame
from hypha_cluster.protocol.envelope import FrameReader
from hypha_cluster.protocol.guard import check_call
from hypha_cluster.serving.http11.websocket_frames import FrameParser


def _received(frame: bytes) -> list[bytes | str]:
    messages: list[bytes | str] = []
    FrameParser(10_000_000, messages.append, lambda opcode, payload: None).feed(frame)
    return messages


def test_a_masked_frame_of_any_size_is_read_as_it_was() -> None:
    for size in (0, 1, 125, 126, 65_535, 65_536, 500_000):
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)

        assert _received(masked(payload)) == [payload]


def test_the_hub_lets_a_call_and_its_reply_pass() -> None:
    call = call_frame("ws/b", "services.s.echo", [1], "session", "a")
    reply = reply_frame("ws/a", "session", "b", 1)

    for frame, sender in ((call, "ws/a"), (reply, "ws/b")):
        (payload,) = _received(frame)
        assert isinstance(payload, bytes)
        check_call(FrameReader(10_000).read(payload), sender, "ws/b")
