"""Something that is waited for seldom, and that every connection has."""

import asyncio


class Flag:
    """An asyncio.Event that is made when somebody waits for it: by itself it takes 800 bytes."""

    __slots__ = ("_event", "_is_set")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Let all go on that wait."""
        self._is_set = True
        if self._event is not None:
            self._event.set()
            self._event = None

    def clear(self) -> None:
        """Have all who come from now on wait."""
        self._is_set = False

    async def wait(self) -> None:
        """Return when it is set."""
        if self._is_set:
            return
        self._event = self._event or asyncio.Event()
        await self._event.wait()
