from hypha_cluster.metrics import Counts
from hypha_cluster.relay.activity import Activity
from hypha_cluster.relay.pending import PendingCall, PendingCalls

WATCHED = frozenset(("ws/app", "ws/other"))
CALL = PendingCall("ws/caller", "session", "reject", 0.0)


def test_who_was_called_is_told_once_even_if_the_call_is_over() -> None:
    pending = PendingCalls(Counts().calls)
    activity = Activity(pending)
    pending.add("ws/app", CALL)  # nobody watches yet
    pending.settle("ws/app", CALL.caller, CALL.session)

    assert activity.watch(WATCHED) == {}
    pending.add("ws/app", CALL)
    pending.add("ws/nobody", CALL)
    pending.settle("ws/app", CALL.caller, CALL.session)

    assert activity.watch(WATCHED) == {"ws/app": 0}
    assert activity.watch(WATCHED) == {}


def test_who_is_at_work_is_told_again_and_again() -> None:
    pending = PendingCalls(Counts().calls)
    activity = Activity(pending)
    activity.watch(WATCHED)
    pending.add("ws/app", CALL)

    with activity.visiting("ws/app"), activity.visiting("ws/nobody"):
        assert activity.watch(WATCHED) == {"ws/app": 2}
        assert activity.waiting_for("ws/app") == 2
    assert activity.watch(WATCHED) == {"ws/app": 1}
    pending.settle("ws/app", CALL.caller, CALL.session)
    assert activity.watch(WATCHED) == {}


def test_a_visit_that_is_over_counts_once() -> None:
    activity = Activity(PendingCalls(Counts().calls))
    activity.watch(WATCHED)

    with activity.visiting("ws/other"):
        pass

    assert activity.watch(frozenset()) == {"ws/other": 0}
    assert activity.watch(frozenset()) == {}
