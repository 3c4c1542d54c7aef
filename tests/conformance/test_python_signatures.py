"""The signatures of services: each release that reads them sees what the function takes."""

import asyncio
import json
import subprocess

import pytest

from tests.client_environments import environment
from tests.python_client import releases_since
from tests.unit.protocol.test_signatures import READABLE

pytestmark = pytest.mark.clients

READ = """
import json, sys
from inspect import signature
from imjoy_rpc.hypha.utils import make_signature

for text in json.loads(sys.stdin.read()):
    def function(*args, **kwargs): pass
    make_signature(function, name="f", sig=text)
    names = [str(each) for each in signature(function).parameters]
    json.dumps(names)
    print(json.dumps([text, names]))
"""


def names_in(text: str) -> list[str]:
    """The names of the parameters, in the order in which clients have them."""
    inside = text[text.index("(") + 1 : text.rindex(")")]
    parts, depth = [""], 0
    for character in inside:
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    found = [part.strip() for part in parts if part.strip()]
    required = [part for part in found if "=" not in part and not part.startswith("*")]
    optional = [part for part in found if "=" in part]
    variadic = [part for part in found if part.startswith("*")]
    return [
        part.lstrip("*").partition(":")[0].partition("=")[0].strip()
        for part in (*required, *optional, *variadic)
    ]


@pytest.mark.parametrize("release", releases_since("0.5.38"))
async def test_a_release_reads_whatever_the_hub_passes_on(release: str) -> None:
    python = environment(f"imjoy-rpc-{release}").make()

    done = await asyncio.to_thread(
        subprocess.run,
        [str(python), "-W", "ignore", "-c", READ],
        input=json.dumps(READABLE),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [[text, names_in(text)] for text in READABLE]
