"""The `hypha-cluster` command.

Ctrl-C while it loads ends it at once, without a traceback: nothing else is imported before that is
arranged. What remains are the milliseconds in which Python itself starts, before any line of ours.
"""

import os
import sys

TYPE_CHECKING = False  # as type checkers know it; `typing` itself takes a while
if TYPE_CHECKING:
    from types import ModuleType

INTERRUPTED = 130  # by Ctrl-C, as shells say it


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; a mistake of the user's is one line on stderr and exit code 2."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    commands, errors = _load()
    try:
        code: int = commands.run(words)
        sys.stdout.flush()
    except (errors.StartupError, errors.CommandFailed) as error:
        sys.stderr.write(f"hypha-cluster: {error}\n")
        return 2 if isinstance(error, errors.StartupError) else 1
    return code


def _load() -> "tuple[ModuleType, ModuleType]":
    """Import the commands; meanwhile Ctrl-C ends the process at once, as there is nothing to undo.

    A KeyboardInterrupt that is raised inside an import could be lost there, or be shown.
    """
    import signal

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else somebody wants it ignored
        signal.signal(signal.SIGINT, _end)
    from hypha_cluster import errors
    from hypha_cluster.commands import main as commands

    signal.signal(signal.SIGINT, before)
    return commands, errors


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
