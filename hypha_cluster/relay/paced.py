"""Tells the other nodes what has changed: at once, and then once for all that follows."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

# Seconds in which what changes again is told once. An event costs two system calls and a look at
# Redis, as much as a third of a registration; a client that registers a hundred services sends two.
PAUSE: Final = 0.1

Later = Callable[[float, Callable[..., None], str], Any]


def _later(seconds: float, call: Callable[..., None], topic: str) -> None:
    asyncio.get_running_loop().call_later(seconds, call, topic)


class Paced:
    """Passes a topic on to `tell`, and the same one again not before PAUSE is over.

    later: has a function called after some seconds, with a topic; by default the loop that runs.
    """

    def __init__(self, tell: Callable[[str], None], later: Later = _later) -> None:
        self._tell = tell
        self._later = later
        # The topics that were told less than PAUSE ago, and whether they have changed since then.
        self._pausing: dict[str, bool] = {}

    def __call__(self, topic: str) -> None:
        """A topic has changed."""
        if topic in self._pausing:
            self._pausing[topic] = True
        else:
            self._pass_on(topic)

    def _pass_on(self, topic: str) -> None:
        self._pausing[topic] = False
        self._tell(topic)
        self._later(PAUSE, self._end_pause, topic)

    def _end_pause(self, topic: str) -> None:
        if self._pausing.pop(topic):
            self._pass_on(topic)
