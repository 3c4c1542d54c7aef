"""The `hypha-cluster` command.

Everything else is imported within `main`, so that Ctrl-C meanwhile is Ctrl-C, and no traceback.
"""

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; a mistake of the user's is one line on stderr and exit code 2."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    from hypha_cluster.commands import main as commands
    from hypha_cluster.errors import CommandFailed, StartupError

    try:
        code = commands.run(words)
        sys.stdout.flush()
    except (StartupError, CommandFailed) as error:
        sys.stderr.write(f"hypha-cluster: {error}\n")
        return 2 if isinstance(error, StartupError) else 1
    return code


if __name__ == "__main__":
    sys.exit(main())
