"""What a stream has sent lately: its numbers, its bounds, and that none of it stays."""

import pytest

from hypha_cluster.protocol.limits import TAIL_BYTES, TAIL_FRAMES, TAIL_PATIENCE, TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.tail import Tail
from tests.fakes import FakeClock


def tail(seen: int | None = None, room: Room | None = None, whose: str = "") -> Tail:
    return Tail(seen, room or Room(TAILS), whose)


@pytest.mark.parametrize(("seen", "first"), [(None, 1), (0, 1), (41, 42)])
def test_frames_are_numbered_from_where_the_client_is(seen: int | None, first: int) -> None:
    sent = tail(seen)

    for frame in (b"one", b"two"):
        sent.add(frame)

    assert sent.take() == [(first, b"one"), (first + 1, b"two")]
    assert sent.take() == []


def test_the_oldest_frames_are_given_up_when_they_are_too_many() -> None:
    sent = tail()

    for _ in range(TAIL_FRAMES + 3):
        sent.add(b"")

    assert [number for number, _ in sent.take()] == list(range(4, TAIL_FRAMES + 4))


def test_the_oldest_frames_are_given_up_when_they_are_too_large() -> None:
    sent = tail()

    for _ in range(5):
        sent.add(bytes(TAIL_BYTES // 4))

    assert [number for number, _ in sent.take()] == [2, 3, 4, 5]


def test_a_frame_that_is_too_large_is_not_kept() -> None:
    sent = tail()

    sent.add(bytes(TAIL_BYTES + 1))

    assert sent.take() == []


def test_what_has_come_long_since_is_given_up() -> None:
    clock = FakeClock()
    sent = Tail(None, Room(TAILS), clock=clock)
    sent.add(b"old")
    clock.now += TAIL_PATIENCE
    sent.add(b"new")
    clock.now += 1

    sent.give_up_old()

    assert sent.take() == [(2, b"new")]


def test_all_streams_have_one_room_and_however_loud_some_are_another_one_finds_as_much() -> None:
    room = Room(100)
    loud = [tail(room=room, whose=f"user {number}") for number in range(4)]
    for _ in range(50):
        for each in loud:
            each.add(b"x")
    quiet = tail(room=room, whose="another")

    for _ in range(50):
        quiet.add(b"x")

    kept = [len(each.take()) for each in (*loud, quiet)]
    assert kept[:4] == [20] * 4
    assert kept[4] == 10
    assert room.free == 100


def test_by_however_many_streams_a_user_keeps_what_they_had_by_one() -> None:
    room = Room(100)
    loud = [tail(room=room, whose="loud") for _ in range(30)]
    quiet = tail(room=room, whose="quiet")

    for _ in range(50):
        for each in (*loud, quiet):
            each.add(b"x")

    assert len(quiet.take()) == 33
    assert 30 <= sum(len(each.take()) for each in loud) <= 34
    assert room.free == 100


def test_what_was_taken_leaves_its_room_to_others() -> None:
    room = Room(10)
    first, second = tail(room=room), tail(room=room)
    first.add(b"12345")
    first.take()

    second.add(b"12345")

    assert second.take() == [(1, b"12345")]
