"""A program of a user of the cluster: runs inside an environment with one release of imjoy-rpc.

Its providers offer services, its callers call those of others, without end until they are told to
stop. What happens is written down, one JSON object a line; see history.py for what it means.
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from imjoy_rpc.hypha import connect_to_server

PAUSE = 0.03  # seconds between two calls to the same provider
PATIENCE = 1.0  # seconds to wait for an answer before the next call is placed anyway
AT_ONCE = 3  # calls that a caller has under way at each provider

LOOK_EVERY = 0.1  # seconds
CAUGHT_AFTER = 30  # looks in a row that find the client in its loop: no frame takes so long


class Diary:
    """Where everything is written down, by the clock that all programs share."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def note(self, kind: str, **facts: Any) -> None:
        line = json.dumps({"kind": kind, "at": time.time(), **facts})
        self._output.write(line + "\n")


class Provider:
    def __init__(self, diary: Diary, name: str) -> None:
        self._diary = diary
        self._name = name

    async def start(self, url: str) -> None:
        server = await connect_to_server({"server_url": url})
        await server.register_service(
            {
                "id": self._name,
                "config": {"visibility": "public"},
                "at_once": self.at_once,
                "in_a_while": self.in_a_while,
            }
        )
        workspace = server.config["workspace"]
        client = (await server.get_connection_info())["client_id"]
        self._diary.note("offered", provider=self._name, address=f"{workspace}/{client}")

    def at_once(self, call, provider):  # type: ignore[no-untyped-def]
        # Without annotations: 0.5.38 to 0.5.47 cannot read some.
        self._executed(call, provider, "at_once")
        return [call, self._name]

    async def in_a_while(self, call, provider):  # type: ignore[no-untyped-def]
        self._executed(call, provider, "in_a_while")
        await asyncio.sleep(0.02)
        return [call, self._name]

    def _executed(self, call: "list[Any]", meant: str, function: str) -> None:
        facts = {"meant": meant, "provider": self._name, "function": function}
        self._diary.note("executed", call=call, **facts)


class Caller:
    def __init__(self, diary: Diary, name: str, providers: "list[str]") -> None:
        self._diary = diary
        self._name = name
        self._providers = providers
        self._services: dict[str, Any] = {}
        self._numbers = dict.fromkeys(providers, 0)
        self._under_way: set[asyncio.Future[None]] = set()

    async def start(self, url: str) -> None:
        server = await connect_to_server({"server_url": url})
        for provider in self._providers:
            self._services[provider] = await server.get_service(provider)
        workspace = server.config["workspace"]
        client = (await server.get_connection_info())["client_id"]
        self._diary.note("called from", caller=self._name, address=f"{workspace}/{client}")

    async def call(self, stop: asyncio.Event) -> None:
        lines = [p for p in self._providers for _ in range(AT_ONCE)]
        await asyncio.gather(*(self._call_on(provider, stop) for provider in lines))
        await asyncio.gather(*self._under_way)

    async def _call_on(self, provider: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            number = self._numbers[provider] = self._numbers[provider] + 1
            call = asyncio.ensure_future(self._call_once(provider, number))
            self._under_way.add(call)
            call.add_done_callback(self._under_way.discard)
            await asyncio.wait([call], timeout=PATIENCE)
            await asyncio.sleep(PAUSE)

    async def _call_once(self, provider: str, number: int) -> None:
        service = self._services[provider]
        function = service.in_a_while if number % 2 else service.at_once
        call = [self._name, provider, number]
        self._diary.note("begun", call=call)
        try:
            result = await function(call, provider)
        except Exception as error:  # noqa: BLE001  (whatever the client raises is what we report)
            self._diary.note("failed", call=call, error=f"{type(error).__name__}: {error}")
        else:
            self._diary.note("done", call=call, result=result)


def watch_for_the_endless_loop(diary: Diary, names: "list[str]") -> None:
    """End this program, and say so, when the client is caught in its own endless loop.

    Clients from 0.5.32 on read by `while True: while not ws.closed: ...`, without an await when the
    connection is closed. If it breaks while a frame waits to be read, they never leave that loop.
    When a gateway is killed, no hub can keep that moment from them.
    """
    found = 0
    while found < CAUGHT_AFTER:
        time.sleep(LOOK_EVERY)
        found = found + 1 if _is_reading() else 0
    diary.note("caught", names=names)
    _say("calling\nfinished")
    os._exit(0)


def _is_reading() -> bool:
    """Whether the main thread is in the client's reading loop, and in nothing called by it."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    if frame.f_code.co_name == "closed" and frame.f_back:
        frame = frame.f_back
    return frame.f_code.co_name == "_listen"


async def main() -> None:
    config = json.loads(sys.argv[1])
    with Path(config["diary"]).open("w", buffering=1, encoding="utf-8") as output:  # noqa: ASYNC230
        diary = Diary(output)
        names = [*config["provide"], *config["callers"]]
        threading.Thread(
            target=watch_for_the_endless_loop, args=(diary, names), daemon=True
        ).start()
        for name in config["provide"]:
            await Provider(diary, name).start(config["url"])
        callers = [Caller(diary, name, config["call"]) for name in config["callers"]]
        _say("offered")
        await _told()
        for caller in callers:
            await caller.start(config["url"])
        stop = asyncio.Event()
        calling = [asyncio.ensure_future(caller.call(stop)) for caller in callers]
        _say("calling")
        await _told()
        stop.set()
        await asyncio.gather(*calling)
        _say("finished")
        await _told()


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def _told() -> None:
    """Wait for the test to let us go on."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if not line:
        sys.exit("the test is gone")


if __name__ == "__main__":
    asyncio.run(main())
