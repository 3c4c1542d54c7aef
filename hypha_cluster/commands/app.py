"""The commands as one app, which reads arguments, helps, and completes."""

from collections.abc import Callable
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

CLUSTER: Final = (
    "Which cluster it is about say the flags of `serve`: `--redis-url` and `--redis-prefix`, or "
    "`--data-dir` of a hub with an embedded store."
)
# Module → whether it asks the Redis of a cluster.
COMMANDS: Final[dict[Callable[..., int | None], bool]] = {
    config.config: False,
    status.status: True,
    top.top: True,
    check.check: True,
    workspaces.workspaces: True,
    clients.clients: True,
    kick.kick: True,
    token.token: True,
    revoke.revoke: True,
    services.services: False,
    call.call: False,
    run.run: False,
    assets.assets: False,
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
    for function, needs_cluster in COMMANDS.items():
        app.command(function, help_epilogue=CLUSTER if needs_cluster else None)
    app.command(apps.build(CLUSTER))
    app.command(completion.for_app(app), name="completion")
    return app
