"""What `ps` and `top` show of the hub's processes; no title holds a secret."""

from collections.abc import Iterator, Sequence

import setproctitle

from hypha_cluster.config import masked
from hypha_cluster.settings import Setting


def call_process(title: str) -> None:
    """Show this title from now on."""
    setproctitle.setproctitle(title)


def title_of(command: str, words: Sequence[str], settings: Sequence[Setting]) -> str:
    """A command line, with stars in the place of secrets."""
    by_flag = {flag: about for about in settings for flag in about.flags}
    return " ".join(["hypha-cluster", command, *_masked(words, by_flag)])


def _masked(words: Sequence[str], by_flag: dict[str, Setting]) -> Iterator[str]:
    about: Setting | None = None
    for word in words:
        flag, equals, value = word.partition("=")
        if about is not None:  # the word before was the flag
            yield str(masked(about, word))
            about = None
        elif equals and flag in by_flag:
            yield f"{flag}={masked(by_flag[flag], value)}"
        else:
            yield word
            about = by_flag.get(word)
