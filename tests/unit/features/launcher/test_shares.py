from contextlib import ExitStack

from hypha_cluster.features.launcher.shares import Shares


def test_nobody_has_more_than_a_tenth_of_the_room() -> None:
    shares = Shares()
    with ExitStack() as anns:
        for _ in range(2):
            assert shares.has_room("ann", 20)
            anns.enter_context(shares.taken("ann"))

        assert not shares.has_room("ann", 20)
        assert shares.has_room("bob", 20)
    assert shares.has_room("ann", 20)


def test_all_together_have_no_more_than_there_is() -> None:
    shares = Shares()
    with shares.taken("ann"), shares.taken("bob"):
        assert not shares.has_room("eve", 2)
    assert shares.has_room("eve", 2)
