"""Messages in chunks: functions are found beside long values, whose insides are not looked at."""

from typing import Any, Final

import msgpack
import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.message import Message
from hypha_cluster.protocol.references import Reference

ME, YOU = "home/me", "away/you"
FOREIGN: Final = {Reference("away/other", "closed")}
LONG: Final = 4_200  # bytes; a value of more than 4,096 is dropped without a look at its inside


def function(target: str = "away/other", **more: Any) -> dict[str, Any]:
    return {"_rtype": "method", "_rtarget": target, "_rmethod": "services.closed.x", **more}


def message(*args: Any, user: str = "") -> bytes:
    envelope = {"type": "method", "method": "session.f", "user": user}
    packed: bytes = msgpack.packb(envelope) + msgpack.packb({"args": args})
    return packed


def found(pieces: list[bytes]) -> set[Reference]:
    followed = Message(ME, YOU, 2**20, heartbeat=False)
    references: set[Reference] = set()
    for piece in pieces:
        references |= followed.append(piece)
    followed.finish()
    return references


def ending_in(end: bytes) -> bytes:
    return bytes(LONG - len(end)) + end


WHOLE: Final[bytes] = msgpack.packb(function("away/false"))
HIDDEN: Final[dict[str, bytes]] = {
    "behind a long array": message(bytes(LONG), function()),
    "before a long array": message(function(), bytes(LONG)),
    "between two": message("x" * LONG, function(), bytes(LONG)),
    "behind an extension": message(msgpack.ExtType(5, bytes(LONG)), [function()]),
    "behind two in a row": message([bytes(LONG)] * 2, {"a": function()}),
    "behind what begins like one": message(ending_in(WHOLE[:-30]), function()),
    "behind what ends like its key": message(ending_in(WHOLE[:-50]), function()),
    "as a key beside a long one": message({"x": bytes(LONG), "y": function()}),
    "with long docs": message(function(_rdoc="d" * LONG)),
    "with long docs that look like one": message(function(_rdoc="\N{BULLET}_rtarget" * 300)),
    "with long docs, and an array": message(function(_rdoc="d" * LONG), bytes(LONG)),
}  # fmt: skip


@pytest.mark.parametrize("place", HIDDEN)
def test_a_function_is_found_at_whatever_byte_its_message_is_cut(place: str) -> None:
    whole = HIDDEN[place]

    for cut in range(len(whole) + 1):
        assert found([whole[:cut], whole[cut:]]) == FOREIGN, cut


@pytest.mark.parametrize("place", HIDDEN)
@pytest.mark.parametrize("size", [1, 7, 64, 4_095, 4_096, 4_097])
def test_it_is_found_in_many_pieces(place: str, size: int) -> None:
    whole = HIDDEN[place]

    assert found([whole[at : at + size] for at in range(0, len(whole), size)]) == FOREIGN


def test_it_is_found_where_much_is_read_at_once_that_has_come_before() -> None:
    """A long envelope is tried again only when twice as much is there, with the values behind."""
    whole = message(bytes(LONG), function(), user="u" * 4_290)
    tried = (whole.index(b"_rtarget") + 4) // 2
    assert 4_200 < tried < 4_290, "the envelope has not ended there"

    for cut in range(2 * tried - 60, 2 * tried + 1):
        assert found([whole[:tried], whole[tried:cut], whole[cut:]]) == FOREIGN, cut


def packed_map(*entries: Any) -> bytes:
    header: bytes = msgpack.Packer().pack_map_header(len(entries) // 2)
    return header + b"".join(map(msgpack.packb, entries))


BEGIN: Final = b"\x83\xa6_rtype\xa6method"
TARGET: Final = ("_rtarget", "away/other", "_rmethod", "services.closed.x")
ODD: Final = {
    "begins in a long value": packed_map("x", ending_in(BEGIN), *TARGET),
    "begins at the start of one": packed_map("x", bytes(99) + BEGIN + bytes(LONG), *TARGET),
    "has a long value in it": packed_map("_rtype", "method", *TARGET, "x", bytes(LONG)),
    "has one in its middle": packed_map("_rtype", "method", *TARGET[:2], "x", bytes(LONG), *TARGET),
    "has a long target": packed_map("_rtype", "method", "_rtarget", "away/" + "x" * 20_000),
}


@pytest.mark.parametrize("oddity", ODD)
def test_one_that_is_no_client_s_is_refused_at_whatever_byte_it_is_cut(oddity: str) -> None:
    whole = message([]).replace(b"\x91\x90", b"\x91" + ODD[oddity])

    for cut in range(0, len(whole) + 1, 1 if len(whole) < 2 * LONG else 37):
        with pytest.raises(BadFrame, match="function"):
            found([whole[:cut], whole[cut:]])


def test_the_inside_of_a_long_array_is_data() -> None:
    assert found([message(ending_in(WHOLE))]) == set()
    assert found([message(ending_in(WHOLE) + bytes(LONG), "x" * LONG)]) == set()
