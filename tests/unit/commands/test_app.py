"""The commands as an app: what is in it, and what it takes."""

from hypha_cluster.commands.app import build
from hypha_cluster.commands.main import COMMANDS
from hypha_cluster.config import Config


def test_every_command_is_in_the_list_that_help_prints() -> None:
    app = build()

    assert {name for name in app if not name.startswith("-")} == COMMANDS.keys() - {
        "serve",
        "runner",
        "user",
    }


def test_help_says_whether_the_store_or_a_hub_is_asked() -> None:
    app, asks_store = build(), set[str]()

    for name in COMMANDS.keys() - {"serve", "runner", "user"}:
        takes = {flag for each in app[name].assemble_argument_collection() for flag in each.names}
        epilogue = str(app[name].help_epilogue or "")
        assert ("a hub that runs" in epilogue) == ("--server-url" in takes), name
        assert ("`--server-url`" in epilogue) == ("--server-url" in takes), name
        if "the store of a cluster" in epilogue:
            asks_store.add(name)

    assert asks_store == {
        *("status", "top", "check", "workspaces", "clients", "kick", "token", "revoke", "apps")
    }


def test_no_flag_of_a_command_is_one_of_the_hub() -> None:
    """For those say which cluster it is about."""
    app, taken = build(), {flag for about in Config.settings() for flag in about.flags}

    for name in COMMANDS.keys() - {"serve", "runner", "user"}:
        arguments = app[name].assemble_argument_collection()
        assert not {flag for argument in arguments for flag in argument.names} & taken, name
