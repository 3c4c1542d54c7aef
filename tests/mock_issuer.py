"""An issuer that claims what a test says, with such keys: npm's `oauth2-mock-server`."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.http import request
from tests.openid_issuer import free_port, modules

PACKAGE = "oauth2-mock-server@8.2.3"
PROGRAM = Path(__file__).with_suffix(".mjs")

# What an id token says of Ann at each kind of issuer.
ANN: dict[str, Any] = {"sub": "ann", "email": "ann@example.org", "email_verified": True}


class MockIssuer:
    """One process, which may be killed and started again at the same address."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = ["node", str(PROGRAM), str(self._port), str(modules(PACKAGE))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout
        assert self._process.stdout.readline() == b"up\n"

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout
            self._process.stdout.close()

    def says(self, **claims: Any) -> None:
        """Have the tokens claim this from now on, of Ann by default."""
        self.is_told(claims=ANN | claims)

    def is_told(self, **control: Any) -> None:
        """claims; without: names of some to leave out; ttl: seconds; sign: as the program says;
        rotate: the name of a new key in place of all others.
        """
        answer = request(f"{self.url}/control", json.dumps(control).encode())
        assert answer.status == 200, answer
