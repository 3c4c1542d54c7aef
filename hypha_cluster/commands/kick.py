"""`hypha-cluster kick`."""

import asyncio
import sys
import time
from typing import Final

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import Cluster, cluster
from hypha_cluster.errors import CommandFailed, StartupError
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.registry.census import about_client
from hypha_cluster.registry.revocations import Revocations

PATIENCE: Final = 5.0  # seconds; gateways look more often than each second
LOOK_EVERY: Final = 0.1  # seconds


def kick(client: str, /, *, json: bool = False) -> None:
    """End a client's connection, and remove it with all its services.

    It cannot come back to its place. Its program may connect anew; to keep it out, revoke its
    token too.

    For example:

    ```sh
    hypha-cluster kick ws-1/my-client
    ```

    Parameters
    ----------
    client
        WORKSPACE/CLIENT, as `hypha-cluster clients` lists it.
    json
        Print an object, for programs.
    """
    workspace, _, name = client.partition("/")
    if not workspace or not name or "/" in name:
        raise StartupError(f"kick: write WORKSPACE/CLIENT, not {client!r}")
    asyncio.run(_kick(client))
    if json:
        show_json({"client": client, "state": "gone"})
    else:
        sys.stdout.write(f"{client} is gone.\n")


async def _kick(address: str) -> None:
    async with cluster() as target:
        known = await about_client(target.redis, target.keys, address)
        if known is None:
            raise CommandFailed(f"there is no client {address}")
        if known.state != "online":
            grace = target.config.reconnect_grace
            raise CommandFailed(f"{address} is suspended; it is gone in {grace:g} s at the latest")
        now = time.time()
        await Revocations(target.redis, target.keys).note(Revocation.of_client(address, now))
        await _until_gone(target, address, now + PATIENCE)


async def _until_gone(target: Cluster, address: str, deadline: float) -> None:
    while await about_client(target.redis, target.keys, address):
        if time.time() > deadline:
            raise CommandFailed(f"{address} did not go; is its gateway well? See `status`")
        await asyncio.sleep(LOOK_EVERY)
