"""`hypha-cluster revoke`."""

import asyncio
import sys
import time
from pathlib import Path
from typing import NamedTuple

from hypha_cluster.commands.output import show_json
from hypha_cluster.commands.target import Cluster, cluster, read_token, tokens_of
from hypha_cluster.errors import StartupError
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.identity.tokens import is_listed
from hypha_cluster.registry.issued import IssuedTokens
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.settings import read_time


class Done(NamedTuple):
    """kind: what has ended, the tokens of a user, those of a workspace, or one token.

    name: of the user or the workspace. before: Unix time; None of one token.
    """

    kind: str
    name: str
    before: float | None

    def told(self) -> str:
        if self.before is None:
            return f"A token of user {self.name} has ended."
        so_far = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.before))
        return f"The tokens of {self.kind} {self.name} that were made before {so_far} have ended."


def revoke(
    *,
    user: str = "",
    workspace: str = "",
    token_file: Path | None = None,
    older_than: str = "",
    json: bool = False,
) -> None:
    """End tokens, on all gateways within a second, with the connections that came with them.

    Tokens that were made with these end too. The user may log in again; to prevent that, remove
    the account by `hypha-cluster user remove`, or shut the user out at `/account/admin`.

    For example:

    ```sh
    hypha-cluster revoke --user ada
    hypha-cluster revoke --workspace ws-1 --older-than 30d
    hypha-cluster revoke --token-file found-in-a-notebook.txt
    ```

    Parameters
    ----------
    user
        Id of a user; all tokens of the user that were made so far end.
    workspace
        A workspace; all tokens that were made so far end for it, and hold on for others.
    token_file
        File with one token; `-` reads it from standard input.
    older_than
        With --user or --workspace, end only tokens that are older than this: 90s, 15m, 12h, 30d.
    json
        Print an object, for programs: what has ended, whose it was, and before what time it was
        made.
    """
    if sum(map(bool, (user, workspace, token_file))) != 1:
        raise StartupError("revoke: name one of --user, --workspace and --token-file")
    if older_than and token_file:
        raise StartupError("revoke: --older-than is for --user and --workspace")
    before = time.time() - (read_time(older_than, "--older-than") if older_than else 0)
    token = _token(token_file) if token_file else ""
    done = asyncio.run(_revoke(user, workspace, token, before))
    if json:
        show_json(done._asdict())
    else:
        sys.stdout.write(f"{done.told()}\n")


def _token(file: Path) -> str:
    return sys.stdin.read().strip() if str(file) == "-" else read_token(file)


async def _revoke(user: str, workspace: str, token: str, before: float) -> Done:
    async with cluster() as target:
        if not user and not workspace:
            return await _revoke_token(target, token)
        now = time.time()
        of, name = (Revocation.of_user, user) if user else (Revocation.of_workspace, workspace)
        ended = of(name, before, now)
        await Revocations(target.redis, target.keys).note(ended)
        return Done(str(ended.kind), ended.name, before)


async def _revoke_token(target: Cluster, token: str) -> Done:
    identity = await (await tokens_of(target)).verify(token)
    assert identity.origin
    ended = Revocation.of_token(identity.origin.token, identity.expires_at, time.time())
    await Revocations(target.redis, target.keys).note(ended)
    if is_listed(ended.name):
        await IssuedTokens(target.redis, target.keys).forget(identity.family, ended.name)
    return Done("token", identity.family, None)
