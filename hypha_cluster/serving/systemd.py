"""Takes a listening socket from systemd, and tells systemd how the start goes on.

The protocol is that of sd_listen_fds(3) and sd_notify(3); both are environment variables.
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from hypha_cluster.errors import StartupError

FIRST: Final = 3  # the descriptor of the first socket
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def passed_listener(
    environ: MutableMapping[str, str] = os.environ, descriptor: int = FIRST
) -> socket.socket | None:
    """The listening socket that this process was started with; None if there is none.

    Its variables are removed from the environment, since child processes do not have the socket.
    """
    process, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not count or process != str(os.getpid()):
        return None
    if count != "1":
        raise StartupError(f"systemd passes {count} sockets: write one ListenStream= for the hub")
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(f"the socket from systemd cannot be used: {error.strerror}") from None
    if not is_listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        listener.close()
        raise StartupError("the socket from systemd must be TCP: write ListenStream=9000")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def notify(state: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Tell systemd, if it wants to know (Type=notify)."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # in Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(address)
            client.sendall(state.encode())
        except OSError:
            return  # the hub works without systemd knowing
