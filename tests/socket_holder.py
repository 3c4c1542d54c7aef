"""Holds a listening socket and passes it on, as systemd does: `python -m tests.socket_holder …`.

The arguments are the command that is started with the socket. What it holds outlives the command,
so that whoever comes meanwhile waits for the next one.
"""

import os
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.gateways import Gateway, Value, command, environment

BACKLOG = 4096
# Between the fork and the command: the socket is the third descriptor, and its owner this process.
PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


class HeldGateway(Gateway):
    """A hub behind a socket that somebody else holds, for it and for its successors."""

    def __init__(self, log: Path, **settings: Value) -> None:
        super().__init__(log, **settings)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)

    def start(self) -> Self:
        words = command("serve", **self._settings)
        number = self._listener.fileno()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [words[0], "-ISc", PASS_ON, str(number), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(number,),
                env=environment() | {"PWD": os.getcwd()},
            )
        return self

    def restart(self) -> int:
        """Stop it and start the next one, as `systemctl restart` does; answer its exit code."""
        code = self.terminate()
        self.start().await_ready()
        return code

    def close(self) -> None:
        self._listener.close()
