"""Messages in chunks: what is known of one that has come, and what it takes to follow it."""

import tracemalloc
from typing import Any

import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.limits import FIELD
from hypha_cluster.protocol.message import Carried, Message
from hypha_cluster.protocol.references import Reference
from hypha_cluster.protocol.rpc import promise

ME, YOU = "home/me", "home/you"
ENVELOPE = {"type": "method", "to": YOU, "method": "services.s.f", "session": "x"}


def message() -> Message:
    return Message(ME, YOU, 2**30, heartbeat=False)


@pytest.mark.parametrize("cut", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("envelope", "body", "expected"),
    [
        (ENVELOPE, {"args": [bytes(9_000)]}, Carried("services.s.f", "x", None)),
        (
            ENVELOPE,
            {"args": [bytes(9_000)], "promise": promise(ME, "x")},
            Carried("services.s.f", "x", "x.reject"),
        ),
        (
            ENVELOPE,
            {"promise": promise("me", "x"), "args": [["a"] * 9_000]},
            Carried("services.s.f", "x", "x.reject"),
        ),
        (
            {"type": "method", "method": "s.resolve"},
            {"args": [bytes(9_000)]},
            Carried("s.resolve", None, None),
        ),
    ],
)
def test_when_it_has_come_it_is_known_what_it_is(
    envelope: dict[str, Any], body: dict[str, Any], expected: Carried, cut: int
) -> None:
    came, data = message(), pack(envelope) + pack(body)

    for start in range(0, len(data), cut):
        came.append(data[start : start + cut])

    assert came.finish() == expected


AWAY = "away/you"


@pytest.mark.parametrize("size", range(1, 60))
def test_whom_it_calls_elsewhere_is_known_when_it_is_whole(size: int) -> None:
    came = Message(ME, AWAY, 2**30, heartbeat=False)
    data = pack(ENVELOPE) + pack({"args": []})

    found: set[Reference] = set()
    for start in range(0, len(data), size):
        found |= came.append(data[start : start + size])
    came.finish()
    found |= came.called()

    assert found == {Reference(AWAY, "s", is_called=True)}
    assert not came.called(), "it is asked for once"


@pytest.mark.parametrize("size", [1, 7, 50, 1_000])
def test_nothing_follows_its_end(size: int) -> None:
    came, data = message(), pack(ENVELOPE) + pack({"args": []}) + pack({"from": "others"})

    def come() -> None:
        for start in range(0, len(data), size):
            came.append(data[start : start + size])
        came.finish()

    with pytest.raises(BadFrame, match="goes on after its end"):
        come()


def test_an_array_of_100_mb_passes_by_in_some_kilobytes() -> None:
    came = message()
    head = pack(ENVELOPE) + b"\x82\xa4args\x91\xc6" + (100_000_000).to_bytes(4)
    part = bytes(500_000)
    tracemalloc.start()

    came.append(head)
    for _ in range(200):
        came.append(part)
        now, _ = tracemalloc.get_traced_memory()
        assert now < 30_000
    came.append(pack("promise") + pack(promise(ME, "x")))

    tracemalloc.stop()
    assert came.finish().reject == "x.reject"


def test_a_short_field_is_short() -> None:
    for before in (b"", pack(ENVELOPE) + b"\x81" + pack("promise")):
        came = message()
        came.append(before)

        with pytest.raises(BadFrame, match="at most 65,536 bytes"):
            came.append(b"\xdb" + (1_000_000).to_bytes(4) + b"x" * (FIELD + 2_000))


def test_one_that_ends_too_early_is_not_whole() -> None:
    came = message()
    came.append(pack(ENVELOPE) + pack({"args": [1]})[:-1])

    with pytest.raises(BadFrame, match="in the middle"):
        came.finish()
