"""`python -m hypha.server …`: a hub, with the defaults of the original."""

import os
import sys

from hypha_cluster.__main__ import main

# Flag, the settings that say the same, and what the original does without any of them.
DEFAULTS = (
    (("--host", "HYPHA_HOST"), "--host=127.0.0.1"),
    (("--port", "HYPHA_PORT"), "--port=9527"),
    (
        ("--data-dir", "HYPHA_DATA_DIR", "--redis-uri", "HYPHA_REDIS_URI")
        + ("--redis-url", "HYPHA_REDIS_URL", "HYPHA_REDIS_URL_FILE"),
        "--data-dir=:memory:",
    ),
)


def with_defaults(words: list[str]) -> list[str]:
    """The words, and the original's defaults for what neither they nor a variable say."""
    flags = {word.partition("=")[0] for word in words}
    return [*words, *(given for names, given in DEFAULTS if not _is_said(names, flags))]


def _is_said(names: tuple[str, ...], flags: set[str]) -> bool:
    return any(name in flags or os.environ.get(name) for name in names)


if __name__ == "__main__":
    sys.exit(main(["serve", *with_defaults(sys.argv[1:])]))
