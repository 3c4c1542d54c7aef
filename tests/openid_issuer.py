"""A certified OpenID provider, npm's `oidc-provider`; it is installed when first needed."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.client_environments import cache, locked
from tests.login_rig import Page, Person

PACKAGE = "oidc-provider@9.13.3"
PROGRAM = Path(__file__).with_suffix(".mjs")


class Missing(Exception):
    """The provider cannot be run here."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def issuer(port: int, redirect_uri: str) -> Iterator[str]:
    """Run the provider, with this hub as its one client."""
    command = ["node", str(PROGRAM), str(port), redirect_uri, str(modules(PACKAGE))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def sign_in(person: Person, page: Page, name: str) -> Page:
    """Fill the provider's own pages: who one is, then that the hub may know."""
    while action := re.search(r'<form[^>]* action="([^"]+/interaction/[^"]+)"', page.text):
        fields = {**page.fields, "login": name, "password": "any"}
        page = await person.send(action[1], fields)
    return page


def modules(package: str) -> Path:
    """The folder of a package of npm's and of what it needs; Missing."""
    if not shutil.which("npm"):
        raise Missing(f"npm is missing: it fetches the package {package}")
    folder = cache() / "npm" / package
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{package}.lock")):
        if not folder.exists():
            unfinished = folder.with_name(f"{package}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            command = ["npm", "install", "--silent", "--prefix", str(unfinished), package]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
            unfinished.rename(folder)
    return folder / "node_modules"
