"""`hypha-cluster token`."""

import asyncio
import sys

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import cluster, tokens_of
from hypha_cluster.errors import StartupError
from hypha_cluster.identity.access import Identity
from hypha_cluster.settings import read_time


def token(
    *,
    user: str,
    email: str = "",
    role: tuple[str, ...] = (),
    workspace: tuple[str, ...] = (),
    expires: str = "",
    json: bool = False,
) -> None:
    """Make a token with which a program acts as a user, and print it.

    It is signed with the secret of the cluster, so this command makes a token for any user.

    For example:

    ```sh
    hypha-cluster token --user ada --email ada@lab.example --expires 30d
    hypha-cluster token --user robot --workspace ws-1 --workspace ws-2
    hypha-cluster token --user root-of-the-lab --role admin --expires 1h
    ```

    Parameters
    ----------
    user
        Id of the user; it is also the name of the user's own workspace.
    email
        E-mail address of the user.
    role
        Role of the user, such as admin, who may do everything; may be repeated.
    workspace
        Workspace that the token is for, beside the user's own; may be repeated.
    expires
        How long it holds: 90s, 15m, 12h, 30d; without it, as long as --token-lifetime.
    json
        Print an object, for programs: the token, its user, and for how many seconds it holds.
    """
    if not user or "/" in user or ":" in user:
        raise StartupError(
            f"token: a user id is not empty and has no '/' and no ':', unlike {user!r}"
        )
    lifetime = read_time(expires, "--expires") if expires else None
    identity = Identity(
        user, is_anonymous=False, email=email or None, roles=tuple(role), scopes=tuple(workspace)
    )
    made, holds = asyncio.run(_issued(identity, lifetime))
    if json:
        show_json({"token": made, "user": user, "expires_in": holds})
    else:
        sys.stdout.write(f"{made}\n")


async def _issued(identity: Identity, lifetime: float | None) -> tuple[str, float]:
    """The token, and for how many seconds it holds."""
    async with cluster() as target:
        made = (await tokens_of(target)).issue(identity, lifetime)
        return made, lifetime or target.config.token_lifetime
