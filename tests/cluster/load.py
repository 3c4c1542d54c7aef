"""A load of calls by real clients, programs of users who know nothing but the balancer's URL."""

import asyncio
import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.browser_client import BrowserClient
from tests.client_environments import environment
from tests.cluster.history import History
from tests.gateways import SECOND

if TYPE_CHECKING:  # pytest wants to be the first to import its plugins
    from tests.browser import Chromium

PROGRAM = Path(__file__).with_name("program.py")
OLD, NEW = "0.5.16", "0.5.59"
# More than any client waits for an answer (protocol.md 3.4).
LONGEST_CALL = 45 * SECOND

PAGE = """
window.diary = [];
window.note = (kind, facts) => diary.push({ kind, at: Date.now() / 1000, ...facts });
window.stopped = false;

window.provide = async (url, name) => {
  const server = await hyphaWebsocketClient.connectToServer({ server_url: url });
  while (!server.rpc._connection_info) await new Promise(done => setTimeout(done, 5));
  const execute = (call, provider, fun) => {
    note("executed", { call, meant: provider, provider: name, function: fun });
    return [call, name];
  };
  const service = { id: name, config: { visibility: "public" } };
  // A function belongs to one service only.
  service.at_once = async (call, provider) => execute(call, provider, "at_once");
  service.in_a_while = async (call, provider) => {
    const result = execute(call, provider, "in_a_while");
    await new Promise(done => setTimeout(done, 20));
    return result;
  };
  await server.registerService(service);
  const address = `${server.config.workspace}/${server.rpc._client_id}`;
  note("offered", { provider: name, address });
  return address;
};

window.callOnce = async (service, call) => {
  note("begun", { call });
  try {
    const work = call[2] % 2 ? service.in_a_while : service.at_once;
    note("done", { call, result: await work(call, call[1]) });
  } catch (error) {
    note("failed", { call, error: String(error?.message ?? error) });
  }
};

window.callAll = async (url, name, providers, pause, patience) => {
  const server = await hyphaWebsocketClient.connectToServer({ server_url: url });
  const numbers = {};
  const lines = [];
  for (const provider of providers) {
    const service = await server.getService(provider);
    numbers[provider] = 0;
    lines.push(async () => {
      const underWay = [];
      while (!stopped) {
        const ended = callOnce(service, [name, provider, ++numbers[provider]]);
        underWay.push(ended);
        await Promise.race([ended, new Promise(done => setTimeout(done, patience * 1000))]);
        await new Promise(done => setTimeout(done, pause * 1000));
      }
      await Promise.all(underWay);
    });
  }
  window.calling = Promise.all(lines.map(line => line()));
};
"""


class Program(NamedTuple):
    """What one process is to do: with which release, offering what, calling whom."""

    release: str
    provide: Sequence[str] = ()
    callers: Sequence[str] = ()


class _Process:
    def __init__(self, program: Program, url: str, diary: Path, providers: Sequence[str]) -> None:
        config = {
            "url": url,
            "diary": str(diary),
            "provide": program.provide,
            "callers": program.callers,
            "call": providers,
        }
        self.diary = diary
        self._log = diary.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [environment(f"imjoy-rpc-{program.release}").make(), PROGRAM, json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    async def says(self, word: str) -> None:
        async with asyncio.timeout(LONGEST_CALL + 15 * SECOND):
            said = await asyncio.to_thread(self._read_to, word)
        errors = self._log.read_text(encoding="utf-8", errors="replace")
        assert said[-1:] == [word], f"{word!r} never came:\n{''.join(said)[-3000:]}\n{errors}"

    def _read_to(self, word: str) -> list[str]:
        """Skip what the client itself has to say, which it writes to where we write."""
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line.rstrip("\n"))
            if said[-1] == word:
                break
        return said

    def go_on(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended, caught by its own client
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):  # what it was told, it never read
                    pipe.close()


class Load:
    """Calls from many programs to many; `history` has it all once the context is left well."""

    def __init__(self, url: str, directory: Path, chromium: "Chromium | None" = None) -> None:
        self._url = url
        self._directory = directory
        self._chromium = chromium
        self._processes: list[_Process] = []
        self._page: BrowserClient | None = None
        # Public services of all workspaces are in one listing.
        self._mark = secrets.token_hex(3)
        self.history = History([])
        self._page_notes: list[dict[str, Any]] = []
        self._programs: list[Program] = []

    def _named(self, kind: str, count: int, release: str) -> list[str]:
        release = release.replace(".", "-")  # it would divide the path to a function
        return [f"{kind}-{release}-{number}-{self._mark}" for number in range(count)]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._clear_away()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._finish()
        finally:
            await self._clear_away()

    async def _start(self) -> None:
        programs = [
            Program(NEW, provide=self._named("provider", 2, NEW)),
            Program(OLD, provide=self._named("provider", 1, OLD)),
            Program(NEW, callers=self._named("caller", 3, NEW)),
            Program(OLD, callers=self._named("caller", 2, OLD)),
        ]
        self.providers = [name for program in programs for name in program.provide]
        self._programs = programs
        if self._chromium:
            await self._open_page(self._chromium)
        self._processes = [
            _Process(program, self._url, self._directory / f"program-{number}", self.providers)
            for number, program in enumerate(programs)
        ]
        await self._all_say("offered")
        self._go_on()
        await self._all_say("calling")
        if self._page:
            callers = "await callAll(url, name, providers, 0.03, 1)"
            name = f"caller-page-{self._mark}"
            providers = self.providers
            await self._page.run(callers, url=self._url, name=name, providers=providers)

    async def _open_page(self, chromium: "Chromium") -> None:
        self._page = await chromium.open(NEW)
        name = f"provider-page-{self._mark}"
        await self._page.run("(0, eval)(source)", source=PAGE)
        await self._page.run("return await provide(url, name)", url=self._url, name=name)
        self.providers.append(name)

    async def run(self, seconds: float) -> None:
        """Let the programs work for so long."""
        await asyncio.sleep(seconds)

    def programs_of(self, release: str) -> set[str]:
        """Names of the providers and callers that run with a release."""
        programs = [program for program in self._programs if program.release == release]
        return {name for program in programs for name in (*program.provide, *program.callers)}

    def lost(self, since: float) -> list[tuple[str, str]]:
        """Callers and providers between whom no call has ended well after that."""
        caught = self.history.caught
        alive = self.history.alive_after(since)
        return [
            (caller, provider)
            for caller in sorted(self.history.callers - caught)
            for provider in self.providers
            if provider not in caught and (caller, provider) not in alive
        ]

    async def _finish(self) -> None:
        """Let what is under way come to its end, and read what was written down."""
        if self._page:
            await self._page.run("stopped = true; await calling", LONGEST_CALL)
        self._go_on()
        await self._all_say("finished")
        if self._page:
            notes = await self._page.run("return JSON.stringify(diary)")
            self._page_notes = json.loads(notes)
        self.history = self._read()

    def _read(self) -> History:
        texts = [process.diary.read_text(encoding="utf-8") for process in self._processes]
        notes = [json.loads(line) for text in texts for line in text.splitlines()]
        return History([*notes, *self._page_notes])

    async def _all_say(self, word: str) -> None:
        await asyncio.gather(*(process.says(word) for process in self._processes))

    def _go_on(self) -> None:
        for process in self._processes:
            process.go_on()

    async def _clear_away(self) -> None:
        for process in self._processes:
            process.kill()
        if self._page:
            await self._page.close()


def now() -> float:
    """The time on the clock that all programs share."""
    return time.time()
