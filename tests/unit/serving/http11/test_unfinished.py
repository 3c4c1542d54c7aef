"""Whose unfinished message gives way when too much is kept of all of them."""

from hypha_cluster.serving.http11.unfinished import Unfinished


class Peer:
    """A connection that notes that it had to give up."""

    def __init__(self) -> None:
        self.has_given_up = False

    def give_up(self) -> None:
        self.has_given_up = True


def test_the_message_that_was_begun_first_gives_way() -> None:
    unfinished, (old, older, honest) = Unfinished(100), (Peer() for _ in range(3))
    unfinished.hold(older, 40)
    unfinished.hold(old, 40)
    unfinished.hold(older, 45)  # drip by drip, to seem younger
    unfinished.hold(honest, 20)

    assert [peer.has_given_up for peer in (older, old, honest)] == [True, False, False]


def test_what_is_whole_counts_no_more() -> None:
    unfinished, peers = Unfinished(100), [Peer() for _ in range(20)]
    for peer in peers:
        unfinished.hold(peer, 60)
        unfinished.hold(peer, 90)
        unfinished.let_go(peer)
        unfinished.let_go(peer)

    assert not any(peer.has_given_up for peer in peers)


def test_one_that_is_alone_may_have_any_size() -> None:
    unfinished, peer, other = Unfinished(100), Peer(), Peer()
    unfinished.hold(peer, 1_000)
    assert not peer.has_given_up

    unfinished.hold(other, 1)
    assert (peer.has_given_up, other.has_given_up) == (True, False)
