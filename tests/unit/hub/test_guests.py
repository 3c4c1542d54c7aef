"""What somebody without a token may ask the hub for."""

import pytest

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.hub.guests import LOGIN, check_guest, check_offer
from hypha_cluster.identity.access import Guests, Identity

ON, CALL_ONLY, OFF = (Identity("nobody", guest=guests) for guests in Guests)


@pytest.mark.parametrize("function", ["generate_token", "create_workspace", "list_services"])
def test_a_guest_like_others_may_do_all(function: str) -> None:
    check_guest(ON, "default", function)
    check_offer(ON)


@pytest.mark.parametrize("guest", [CALL_ONLY, OFF])
def test_a_guest_that_may_not_offer_logs_in_all_the_same(guest: Identity) -> None:
    check_guest(guest, LOGIN, "start")
    check_guest(guest, "default", "get_connection_info")
    for function in ("generate_token", "register_service", "install_application", "set"):
        with pytest.raises(PermissionDenied, match="only call"):
            check_guest(guest, "default", function)
    with pytest.raises(PermissionDenied):
        check_offer(guest)


def test_looking_around_is_for_who_may_call() -> None:
    check_guest(CALL_ONLY, "default", "list_services")
    with pytest.raises(PermissionDenied, match="without a token"):
        check_guest(OFF, "default", "list_services")
