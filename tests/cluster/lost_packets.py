"""All packets of one connection are lost, in a network of our own, and nobody is told.

`unshare --net python -m tests.cluster.lost_packets DIRECTORY` prints how long what took, as JSON.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.cluster import Cluster, until
from tests.python_client import NEWEST, Local, PythonClient, RemoteError

# How soon a gateway notices, in seconds; the client takes its own 40.
PING = 2


async def scene(directory: Path) -> dict[str, float]:
    with (
        Cluster(directory, ping_interval=PING, ping_timeout=PING) as cluster,
        PythonClient(NEWEST) as offering,
        PythonClient(NEWEST) as calling,
    ):
        provider = await offering.connect(cluster.url)
        (port,) = _ports_to(cluster.url)
        service = {"id": "mirror", "config": {"visibility": "public"}, "echo": Local("echo")}
        await provider["register_service"](service)
        address = await provider.address()
        caller = await calling.connect(cluster.url, method_timeout=90)
        mirror = await caller["get_service"](f"{address}:mirror")
        assert await mirror["echo"]("before") == "before"

        async def is_noticed() -> bool:
            return cluster.state_of(address) == "suspended"

        async def answers() -> bool:
            try:
                return bool(await mirror["echo"]("here?") == "here?")
            except RemoteError as error:
                if "is away" not in error.text:
                    raise
                return False

        started = time.monotonic()
        with _lost(port):
            noticed = await until(is_noticed, "the hub notices", 5 * PING)
            await until(answers, "the client is back", 90)
            returned = time.monotonic() - started
        return {"noticed": noticed, "returned": returned}


def _ports_to(url: str) -> list[int]:
    """From which local ports there are connections to a URL; the network is ours alone."""
    wanted = int(url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    established = [line.split()[1:3] for line in lines if line.split()[3] == "01"]
    ends = [[int(end.partition(":")[2], 16) for end in pair] for pair in established]
    return [local for local, remote in ends if remote == wanted]


@contextmanager
def _lost(port: int) -> Iterator[None]:
    for side in ("--sport", "--dport"):
        rule = ["-p", "tcp", side, str(port), "-j", "DROP"]
        subprocess.run(["iptables", "-A", "INPUT", *rule], check=True)
    yield
    subprocess.run(["iptables", "-F", "INPUT"], check=True)


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sys.stdout.write(json.dumps(asyncio.run(scene(Path(sys.argv[1])))))
