"""All targets by their names, and what is asked of each for every input."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.frames import chunks, frames, messages
from tests.fuzz.http import http
from tests.fuzz.posts import posts
from tests.fuzz.tokens import tokens
from tests.fuzz.values import bodies, values

Target = Callable[[bytes], None]

# A target raises for whatever is no refusal of its own.
TARGETS: Final[dict[str, Target]] = {
    "frames": frames,
    "messages": messages,
    "chunks": chunks,
    "http": http,
    "bodies": bodies,
    "values": values,
    "posts": posts,
    "tokens": tokens,
}
CORPUS: Final = Path(__file__).parent / "corpus"
LONGEST: Final = 4_096  # bytes of an input

_LONG: Final = 0.5  # seconds of CPU; an input takes some hundred microseconds
_TRIES: Final = 3
_MUCH: Final = 65_536  # KiB by which one input makes the process larger


def corpus_of(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


def measured(target: Target) -> Target:
    """A target for which it is wrong, too, to take time or memory out of proportion."""

    def run(data: bytes) -> None:
        size = _most_memory()
        taken = _time(target, data)
        if taken > _LONG:  # once may be the machine's affair
            taken = min(_time(target, data) for _ in range(_TRIES))
        assert taken <= _LONG, f"{len(data)} bytes take {taken:.2f} s"
        grown = _most_memory() - size
        assert grown <= _MUCH, f"{len(data)} bytes take {grown} KiB"

    return run


def _time(target: Target, data: bytes) -> float:
    start = time.thread_time()
    target(data)
    return time.thread_time() - start


def _most_memory() -> int:
    """The most that the process ever had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
