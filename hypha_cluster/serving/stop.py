"""What a gateway's process was told: to stop, and how."""

import asyncio
import signal
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether to stop, whether to hurry, and whether others go on with the port."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.is_replaced = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self) -> None:
        """Stop with a drain; when asked a second time, without."""
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()

    def hurry(self) -> None:
        self.hurried.set()
        self.asked.set()

    def retire(self) -> None:
        """Drain, and leave the port to others at once; may be called from any thread."""
        assert self._loop, "who serves already can be replaced"
        self._loop.call_soon_threadsafe(self._retire)

    def _retire(self) -> None:
        self.is_replaced = True
        self.asked.set()

    def heed_signals(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGTERM, self.ask)
        self._loop.add_signal_handler(signal.SIGINT, self.hurry)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # see workers.py
