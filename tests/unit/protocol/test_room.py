"""Room that many share: who takes much leaves as much to others."""

from hypha_cluster.protocol.room import Room


def test_nobody_has_more_than_is_free() -> None:
    room = Room(100)

    while room.has("loud", 10):
        room.take("loud", 10)
    while room.has("quiet", 10):
        room.take("quiet", 10)

    assert room.free == 30  # 50 for the one who came first, 20 for the other
    assert room.is_exceeded_by("loud")
    assert not room.is_exceeded_by("quiet")


def test_what_is_larger_is_taken_when_there_is_nothing_else() -> None:
    room = Room(100)

    assert room.has("anybody", 1000)
    room.take("somebody", 1)
    assert not room.has("anybody", 1000)


def test_what_is_given_back_is_for_others() -> None:
    room = Room(100)
    room.take("somebody", 90)

    room.take("somebody", -90)

    assert room.has("another", 50)
    assert room.has("somebody", 1000)
