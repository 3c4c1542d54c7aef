"""Redis servers without sockets, which answer what they are told to."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links import lasting_link
from hypha_cluster.links.link import Access, Endpoint
from hypha_cluster.links.servers import Servers
from hypha_cluster.supervision import Supervisor

A, B = Endpoint("a", 1), Endpoint("b", 2)
Command = tuple[Any, ...]


async def soon(condition: Callable[[], Any]) -> None:
    """Let the loop turn until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the fakes need no event for it
            await asyncio.sleep(0)


class FakeLink:
    """One connection; what is sent by it is answered in a later turn of the loop."""

    def __init__(self, server: "FakeServer") -> None:
        self.server = server
        self.is_open = True
        self.heard_at = time.monotonic()
        self._on_reply: Callable[[Any], None] = lambda reply: None
        self._on_lost: Callable[[], None] = lambda: None

    def hand_over(self, on_reply: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_reply, self._on_lost = on_reply, on_lost

    def send(self, commands: list[Command]) -> None:
        for command in commands:
            self.server.received.append(command)
            for reply in self.server.replies_to(command):
                asyncio.get_running_loop().call_soon(self.say, reply)

    def say(self, reply: Any) -> None:
        """Have something come from the server."""
        if self.is_open:
            self.heard_at = time.monotonic()
            self._on_reply(reply)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._on_lost()


class FakeServer:
    """answers: by the first word of a command; a list of replies, or a function that makes it."""

    def __init__(self) -> None:
        self.is_down = False
        self.received: list[Command] = []
        self.links: list[FakeLink] = []
        self.answers: dict[str, Any] = {
            "PING": [b"PONG"],
            "TIME": [[b"1000", b"0"]],
            "SCRIPT": [b"hash"],
            "SSUBSCRIBE": lambda command: [[b"ssubscribe", each, 1] for each in command[1:]],
            "SUNSUBSCRIBE": lambda command: [[b"sunsubscribe", each, 0] for each in command[1:]],
        }

    def replies_to(self, command: Command) -> list[Any]:
        answer = self.answers.get(command[0], [b"OK"])
        replies: list[Any] = answer(command) if callable(answer) else answer
        return replies

    @property
    def link(self) -> FakeLink:
        """The connection that was opened last."""
        return self.links[-1]

    @property
    def asked(self) -> list[Command]:
        """Commands but those that each connection begins with, or is kept alive by."""
        own = ("PING", "TIME", "SCRIPT")
        return [command for command in self.received if command[0] not in own]


def error(text: str) -> list[Exception]:
    return [hiredis.ReplyError(text)]


class Net:
    """Servers by their addresses, in place of real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers = {A: FakeServer(), B: FakeServer()}
        self.begun: list[tuple[Endpoint, str, bool]] = []
        net = self

        class FakeConversation:
            def __init__(self, address: Endpoint, access: Access) -> None:
                self.address = address

            async def begin(self, name: str, *, must_be_master: bool = False) -> None:
                net.begun.append((self.address, name, must_be_master))
                server = net.servers[self.address]
                if server.is_down:
                    raise RedisUnavailable(f"Redis at {self.address} cannot be reached.")
                self.link = FakeLink(server)
                server.links.append(self.link)

        monkeypatch.setattr(lasting_link, "Conversation", FakeConversation)
        monkeypatch.setattr(lasting_link, "_FIRST_DELAYS", (0.0,) * 1_000)


class FakeServers(Servers):
    """Slots that are where a test puts them; at first all are at A."""

    is_cluster = True

    def __init__(self, timeout: float = 5.0) -> None:
        super().__init__(Access(timeout=timeout), Supervisor())
        self.slots: dict[int, Endpoint | None] = {}
        self.doubts = 0
        self.homes = [A]

    def server_of(self, slot: int) -> Endpoint | None:
        return self.slots.get(slot, A)

    def in_use(self) -> list[Endpoint]:
        return self.homes

    def slot(self, key: str | bytes) -> int:
        text = key if isinstance(key, str) else key.decode()
        return int(text.rpartition("@")[2]) if "@" in text else 0

    def moved(self, slot: int, address: Endpoint) -> None:
        self.put({slot: address})

    def put(self, slots: dict[int, Endpoint | None]) -> None:
        """Have slots go elsewhere."""
        self.slots |= slots
        self.homes = list(dict.fromkeys([A, *(each for each in self.slots.values() if each)]))
        self._tell()

    def leave(self, *homes: Endpoint) -> None:
        """Have only these servers left."""
        self.homes = list(homes)
        self._tell()

    def doubt(self) -> None:
        self.doubts += 1

    async def look(self, *, elsewhere: bool = False) -> None:
        """There is nothing to look for."""

    async def start(self) -> None:
        """There is nothing to look for."""
