"""The commands as one app, which reads arguments, helps, and completes."""

from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import version
from typing import Final

from cyclopts import App, Parameter

from hypha_cluster.commands import (
    apps,
    assets,
    call,
    check,
    clients,
    completion,
    config,
    kick,
    revoke,
    run,
    services,
    status,
    token,
    top,
    workspaces,
)


class Asks(StrEnum):
    """Whom a command asks, and how it is told which one."""

    NOBODY = ""
    STORE = (
        "It asks the store of a cluster, which the flags of `serve` name: `--redis-url` and "
        "`--redis-prefix`, or `--data-dir` of a hub with an embedded store."
    )
    HUB = (
        "It asks a hub that runs, at `--server-url` or `HYPHA_SERVER_URL`; `--redis-url` and "
        "`--data-dir` do not matter here."
    )
    BOTH = (
        "It asks the store of a cluster (`--redis-url` and `--redis-prefix`, or `--data-dir`), "
        "and a hub that runs (`--server-url`)."
    )


COMMANDS: Final[dict[Callable[..., int | None], Asks]] = {
    config.config: Asks.NOBODY,
    status.status: Asks.STORE,
    top.top: Asks.STORE,
    check.check: Asks.BOTH,
    workspaces.workspaces: Asks.STORE,
    clients.clients: Asks.STORE,
    kick.kick: Asks.STORE,
    token.token: Asks.STORE,
    revoke.revoke: Asks.STORE,
    services.services: Asks.HUB,
    call.call: Asks.HUB,
    run.run: Asks.HUB,
    assets.assets: Asks.NOBODY,
}


def build() -> App:
    """All commands but those that take the flags of the hub as they are."""
    app = App(
        name="hypha-cluster",
        help="A clustered hub for imjoy-rpc clients.",
        version=version("hypha-cluster"),
        default_parameter=Parameter(negative=(), show_default=False),
        help_format="markdown",
        result_action="return_value",
    )
    for function, asks in COMMANDS.items():
        app.command(function, help_epilogue=asks.value or None)
    app.command(apps.build())
    app.command(completion.for_app(app), name="completion")
    return app
