"""Takes what one page logs to the registry: bounded, and without secrets."""

import asyncio
import re
from collections import defaultdict, deque
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.protocol.limits import APP_LOG, APP_LOG_ENTRY, APP_LOG_SIZE
from hypha_cluster.registry.instance_logs import KINDS, InstanceLogs

WRITING: Final = 0.2  # seconds between two writes
_SECRETS: Final = re.compile(
    r"(hypha-app-|@imjoy@)[\w.~+/-]+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=token=)[^&\s\"']+"
    r"|(?<=/~)[\w-]{20,}"
)
_MASK: Final = "***"
# Names that browsers give to entries → kinds.
_KINDS: Final = {kind: kind for kind in KINDS} | {"assert": "error"}


def masked(text: str) -> str:
    """A text without what looks like a token."""
    return _SECRETS.sub(_MASK, text)


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


class Logbook:
    """Takes what a page logs at once, and writes it a moment later."""

    def __init__(self, logs: InstanceLogs, address: str) -> None:
        self._logs = logs
        self._address = address
        self._waiting: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=APP_LOG))
        self._sizes: dict[str, deque[int]] = {}
        self.last_error = ""

    def take(self, kind: str, text: str) -> None:
        """Something was logged; kind: as browsers call it."""
        kind, text = _KINDS.get(kind, "log"), masked(text[: APP_LOG_ENTRY * 2])[:APP_LOG_ENTRY]
        if kind == "error":
            self.last_error = text
        self._waiting[kind].append(text)

    async def run(self) -> None:
        """Write for as long as the page is there."""
        while True:
            await asyncio.sleep(WRITING)
            await self.write()

    async def write(self) -> None:
        """Write what waits; while Redis is away, it goes on waiting."""
        for kind in list(self._waiting):
            texts = list(self._waiting[kind])
            if not texts:
                continue
            self._waiting[kind].clear()
            try:
                await self._remember(kind)
                await self._logs.write(self._address, kind, texts, kept=self._kept(kind, texts))
            except RedisUnavailable:
                later = self._waiting[kind]
                self._waiting[kind] = deque([*texts, *later], maxlen=APP_LOG)

    async def _remember(self, kind: str) -> None:
        """Count what earlier pages of the instance have logged, too."""
        if kind not in self._sizes:
            there = await self._logs.read(self._address, kind, 0, APP_LOG)
            self._sizes[kind] = deque(_size(entry.text) for entry in there)

    def _kept(self, kind: str, texts: list[str]) -> int:
        """How many entries of a kind may stay, so that all together keep within APP_LOG_SIZE."""
        sizes = self._sizes[kind]
        sizes.extend(map(_size, texts))
        while len(sizes) > 1 and (sum(sizes) > APP_LOG_SIZE or len(sizes) > APP_LOG):
            sizes.popleft()
        return APP_LOG if sum(sizes) < APP_LOG_SIZE // 2 else len(sizes)
