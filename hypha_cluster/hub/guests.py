"""What somebody without a token may ask of the hub, where they may not do everything."""

from typing import Final

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import Guests, Identity

LOGIN: Final = "hypha-login"
# Functions that make something which others see, or that let others in.
_OFFERING: Final = frozenset(
    (
        *("register_service", "generate_token", "create_workspace", "set"),
        *("install_application", "uninstall_application"),
    )
)
# What clients ask for while they connect, log in and leave.
_KNOCKING: Final = frozenset(
    ("get_connection_info", "get_service", "update_client_info", "echo", "log", "info", "error")
)


def check_guest(identity: Identity, service: str, function: str) -> None:
    """PermissionDenied when a guest may not call this function of the hub's."""
    if identity.guest is Guests.ON or service == LOGIN:
        return
    if function in _OFFERING:
        check_offer(identity)
    if identity.guest is Guests.OFF and function not in _KNOCKING:
        raise PermissionDenied("This hub lets nobody in without a token; log in first.")


def check_offer(identity: Identity) -> None:
    """PermissionDenied when a guest may offer nothing."""
    if identity.guest is not Guests.ON:
        raise PermissionDenied("Without a token one may only call here; log in first.")
