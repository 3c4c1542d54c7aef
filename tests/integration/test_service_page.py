"""The page of a service, whose functions do what one does not expect."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.browser_visit import LOOKS, Visit, Visiting, is_fit_for_all, visits
from tests.client_environments import environment as client_environment
from tests.gateways import Gateway, environment

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]
pytestmark = [pytest.mark.browser, pytest.mark.clients]

PROGRAM = '''
"""A client as people write it."""
import asyncio
import sys

import numpy as np
from imjoy_rpc.hypha import connect_to_server


async def never() -> str:
    """Answer nothing at all."""
    await asyncio.sleep(3600)


def boom() -> None:
    """<script>document.title = "caught"</script><b>Fails</b>, and says why."""
    raise ValueError("<i>the sample is upside down</i>")


def big(size: int = 5_000_000) -> str:
    """Answer a long text."""
    return "x" * size


def array(rows: int) -> "np.ndarray":
    """Answer an array."""
    return np.arange(rows * 2, dtype="float32").reshape(rows, 2)


def raw() -> bytes:
    return bytes(range(256))


def nothing() -> None:
    return None


def long_names(a_parameter_with_a_name_that_is_longer_than_any_phone_is_wide: str = "text") -> str:
    return a_parameter_with_a_name_that_is_longer_than_any_phone_is_wide


async def main(url):
    server = await connect_to_server({"server_url": url, "client_id": "odd"})
    await server.register_service(
        {
            "id": "odd",
            "name": "Odd",
            "docs": "<h1>Not a heading</h1><img src=x onerror=alert(1)>",
            "description": "<b>bold</b>",
            "config": {"visibility": "public"},
            "never": never,
            "boom": boom,
            "big": big,
            "array": array,
            "raw": raw,
            "nothing": nothing,
            "long_names": long_names,
        }
    )
    print(server.config.workspace, flush=True)
    await asyncio.sleep(3600)


asyncio.run(main(sys.argv[1]))
'''


class Place(NamedTuple):
    """A hub, and the address of the page on it."""

    url: str
    path: str


@pytest.fixture(scope="module")
def place(
    shared_gateways: Callable[[int], Gateway], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    hub = shared_gateways(0)
    client = client_environment("imjoy-rpc-0.5.59")
    client.make()
    program = tmp_path_factory.mktemp("odd") / "odd.py"
    program.write_text(PROGRAM, encoding="utf-8")
    process = subprocess.Popen(
        [client.path / "bin" / "python", program, hub.url],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        workspace = process.stdout.readline().strip()
        assert workspace
        yield Place(hub.url, f"/{workspace}/?service=odd:odd")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
async def visit(chromium: "Chromium", place: Place) -> AsyncIterator[Visiting]:
    async with visits(chromium, place.url) as visit:
        yield visit


async def call(window: Visit, function: str, **values: str) -> None:
    """Open a function and press its button, with values in its form, by the keyboard."""

    async def call(page: Any) -> None:
        button = page.get_by_role("button", name=f"Call {function}", exact=True)
        if not await button.is_visible():
            await page.locator("summary", has_text=f"{function}(").first.focus()
            await page.keyboard.press("Enter")
        for label, value in values.items():
            await page.locator("details[open]").get_by_label(label).fill(value)
        await button.focus()
        await page.keyboard.press("Enter")

    await window.do(call)


SAID = "[...document.querySelectorAll('form [role=status]')].map(each => each.textContent).join('')"
SHOWN = "[...document.querySelectorAll('.result')].map(each => each.textContent).join('')"


async def said(window: Visit, words: str) -> None:
    await window.until(f"({SAID}).includes({words!r})")


async def shown(window: Visit) -> str:
    return await window.do(lambda page: page.evaluate(SHOWN))


@pytest.mark.parametrize("look", LOOKS)
async def test_words_of_a_stranger_stay_words(visit: Visiting, place: Place, look: str) -> None:
    window = await visit(**LOOKS[look])

    assert await window.go(place.path) == 200

    text = await window.text()
    assert "<h1>Not a heading</h1>" in text
    assert await window.do(lambda page: page.locator("main h1").count()) == 1
    await window.do(
        lambda page: page.evaluate(
            "document.querySelectorAll('details').forEach(e => e.open = true)"
        )
    )
    assert "<b>Fails</b>" in await window.text()
    assert "caught" not in await window.do(lambda page: page.title())
    await is_fit_for_all(window)


async def test_what_a_function_throws_is_shown(visit: Visiting, place: Place) -> None:
    window = await visit()
    await window.go(place.path)

    await call(window, "boom")
    await said(window, "Status 500")

    assert "ValueError" in await shown(window) or "upside down" in await shown(window)
    assert await window.do(lambda page: page.locator(".result i").count()) == 0
    window.complaints.clear()  # the browser says that it got an error


async def test_of_a_long_answer_the_beginning_is_shown(visit: Visiting, place: Place) -> None:
    window = await visit(**LOOKS["phone"])
    await window.go(place.path)

    await call(window, "big")
    await said(window, "Only the first 100,000 of 5,000,002 characters are shown.")

    assert len(await shown(window)) == 100_000
    await is_fit_for_all(window)


@pytest.mark.parametrize(
    ("function", "values", "contains"),
    [
        ("array", {"rows": "3"}, "float32"),
        ("raw", {}, ""),
        ("nothing", {}, "null"),
        ("long_names", {}, "text"),
        ("long_names", {"a_parameter": '"5"'}, '"5"'),
    ],
)
async def test_whatever_is_answered_is_shown(
    visit: Visiting, place: Place, function: str, values: dict[str, str], contains: str
) -> None:
    window = await visit(**LOOKS["phone"])
    await window.go(place.path)

    await call(window, function, **values)
    await said(window, "Answered in")

    assert contains in await shown(window)
    await is_fit_for_all(window)


async def test_who_has_waited_enough_stops_and_calls_again(visit: Visiting, place: Place) -> None:
    window = await visit()
    await window.go(place.path)
    await call(window, "never")
    await said(window, "Calling")

    stop = "Stop waiting"

    async def stop_it(page: Any) -> str:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == stop
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name=stop).wait_for(state="hidden")
        return str(await page.evaluate("document.activeElement.getAttribute('aria-label')"))

    focused = await window.do(stop_it)
    await said(window, "You have stopped waiting.")
    await call(window, "nothing")
    await said(window, "Answered in")

    assert focused == "Call never"


async def test_a_hub_that_cannot_be_reached_is_told(visit: Visiting, place: Place) -> None:
    window = await visit()
    await window.go(place.path)
    await window.do(lambda page: page.context.set_offline(True))

    await call(window, "nothing")

    await said(window, "The hub does not answer")
    window.complaints.clear()  # the browser says that it has no network
