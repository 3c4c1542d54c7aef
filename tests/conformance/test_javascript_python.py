"""Pages and Python scripts call each other by the bare names of their services."""

import hashlib
import struct
from collections import OrderedDict
from typing import Any

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, Tagged, binary
from tests.conformance.python_scene import Connect, unique
from tests.gateways import Hub
from tests.python_client import (
    Array,
    Connection as Script,
    Error,
    File,
    Local,
    NewArray,
    Recorder,
    RemoteError,
)

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

# Which Python release meets which JavaScript release.
CONTEMPORARIES = {"0.5.9": "0.5.16", "0.5.44": "0.5.44", "0.5.59": "0.5.59"}


@pytest.fixture
async def page(hub: Hub, javascript: BrowserClient) -> Connection:
    return await javascript.connect(hub.first)


@pytest.fixture
async def script(hub: Hub, release: str, page: Connection, connect: Connect) -> Script:
    """A Python client in the page's workspace."""
    return await connect(
        CONTEMPORARIES[release], hub.second, workspace=page.workspace, token=await page.token()
    )


async def test_a_page_calls_a_script(page: Connection, script: Script) -> None:
    await script["register_service"](
        {"id": "script", "add": Local("add"), "multiply": Local("multiply")}
    )

    assert await page.call("script", "add", 20, 22) == 42
    assert await page.call("script", "multiply", 6, 7) == 42


async def test_a_script_calls_a_page(page: Connection, script: Script) -> None:
    await page.register("page")

    service = await script["get_service"]("page")

    assert service["id"] in ("page", f"{page.address}:page")
    assert await service["add"](20, 22) == 42
    assert await service["join"]("-", ["a", "b"]) == "a-b"


async def test_a_page_passes_keywords(page: Connection, script: Script) -> None:
    await script["register_service"]({"id": "script", "keywords_of": Local("keywords_of")})

    seen = await page.run(
        """
        const script = await server.getService("script");
        return await script.keywords_of(1, "two", { three: 3, four: [4], _rkwargs: true });
        """
    )

    assert seen == {"arguments": [1, "two"], "keywords": {"three": 3, "four": [4]}}


async def test_a_script_learns_which_page_calls(page: Connection, script: Script) -> None:
    await script["register_service"](
        {"id": "script", "config": {"require_context": True}, "who_calls": Local("who_calls")}
    )

    context = await page.call("script", "who_calls")

    assert context["from"] == page.address
    assert context["user"]["id"] == page.workspace


async def test_a_page_learns_which_script_calls(page: Connection, script: Script) -> None:
    await page.register("page", config={"require_context": True})

    context = await (await script["get_service"]("page"))["context"]()

    assert context["from"] == await script.address()
    assert context["user"]["parent"] == page.workspace


@pytest.mark.parametrize("function", ["fail", "fail_later"])
async def test_a_page_sees_what_a_script_raises(
    page: Connection, script: Script, function: str
) -> None:
    await script["register_service"]({"id": "script", function: Local(function)})

    with pytest.raises(JavaScriptError, match="the dog ate it"):
        await page.call("script", function, "the dog ate it")


async def test_a_script_sees_what_a_page_throws(page: Connection, script: Script) -> None:
    await page.register("page")
    page.page.tolerate("the dog ate it")
    service = await script["get_service"]("page")

    with pytest.raises(RemoteError, match="the dog ate it"):
        await service["fail"]("the dog ate it")


async def test_a_script_calls_back_into_a_page(page: Connection, script: Script) -> None:
    await script["register_service"]({"id": "script", "count_to": Local("count_to")})

    heard = await page.run(
        """
        const heard = [];
        const script = await server.getService("script");
        heard.push(await script.count_to(3, step => { heard.push(step); }));
        return heard;
        """
    )

    assert heard == [0, 1, 2, "done"]


async def test_a_page_calls_back_into_a_script(page: Connection, script: Script) -> None:
    await page.register("page")
    service = await script["get_service"]("page")
    steps = Recorder(unique("steps"))

    answers = await service["numbered"](steps, 3)

    assert answers == [0, 1, 2]
    assert await script.client.recorded(steps, 3) == [[0], [1], [2]]


async def test_a_script_returns_functions_to_a_page(page: Connection, script: Script) -> None:
    await script["register_service"]({"id": "script", "new_counter": Local("new_counter")})

    counted = await page.run(
        """
        const counter = await (await server.getService("script")).new_counter();
        return [await counter.increment(1), await counter.increment(10)];
        """
    )

    assert counted == [1, 11]


FLOATS = struct.pack("<3f", 0.5, -1.25, 3)
TO_PYTHON: dict[str, Any] = {
    "null in a list": ("[null, true, 'ü', 1.5, 2 ** 40, -1]", [None, True, "ü", 1.5, 2**40, -1]),
    "object": ("({ a: { b: [1, {}] } })", {"a": {"b": [1, {}]}}),
    "Uint8Array": ("new Uint8Array([1, 2, 255])", b"\x01\x02\xff"),
    "Float32Array": (
        "new Float32Array([0.5, -1.25, 3])",
        Array("float32", (3,), hashlib.sha256(FLOATS).hexdigest()),
    ),
    "ArrayBuffer": ("new Uint8Array([1, 2]).buffer", memoryview(b"\x01\x02")),
    "Set": ("new Set([1, 2, 3])", {1, 2, 3}),
    "Map": ("new Map([['a', 1], ['b', 2]])", OrderedDict([("a", 1), ("b", 2)])),
    "ndarray": (
        """({
          _rtype: "ndarray", _rvalue: new Uint8Array([1, 2, 3, 4, 5, 6]),
          _rshape: [2, 3], _rdtype: "uint8",
        })""",
        Array("uint8", (2, 3), hashlib.sha256(bytes([1, 2, 3, 4, 5, 6])).hexdigest()),
    ),
}


async def test_a_script_gets_what_a_page_sends(page: Connection, script: Script) -> None:
    received = Recorder(unique("received"))
    await script["register_service"]({"id": "script", "take": received})

    for expression, _ in TO_PYTHON.values():
        await page.run(f"await (await server.getService('script')).take({expression})")

    taken = await script.client.recorded(received, len(TO_PYTHON))
    expected = {name: [value] for name, (_, value) in TO_PYTHON.items()}
    assert dict(zip(TO_PYTHON, taken, strict=True)) == expected


async def test_a_script_gets_an_error_that_a_page_sends(page: Connection, script: Script) -> None:
    received = Recorder(unique("received"))
    await script["register_service"]({"id": "script", "take": received})
    page.page.tolerate("only a value")

    await page.run("(await server.getService('script')).take(new Error('only a value'))")

    ((error,),) = await script.client.recorded(received, 1)
    assert isinstance(error, Error)
    assert "only a value" in error.text


PIXELS = bytes(range(6))
TO_JAVASCRIPT: dict[str, Any] = {
    "None in a list": ([None, True, "ü", 1.5, 2**40, -1], [None, True, "ü", 1.5, 2**40, -1]),
    "dictionary": ({"a": {"b": [1, {}]}}, {"a": {"b": [1, {}]}}),
    "None": (None, None),
    "bytes": (b"\x01\x02\xff", binary(b"\x01\x02\xff")),
    "memoryview": (memoryview(b"\x01\x02"), binary(b"\x01\x02", "ArrayBuffer")),
    "tuple": ((1, 2), [1, 2]),
    "set": ({1}, Tagged("Set", [1])),
    "ordered dictionary": (OrderedDict([("a", 1), ("b", 2)]), {"a": 1, "b": 2}),
    "array": (
        NewArray("uint8", (2, 3)),
        {
            "_rtype": "ndarray",
            "_rvalue": binary(PIXELS),
            "_rshape": [2, 3],
            "_rdtype": "uint8",
        },
    ),
}


async def test_a_page_gets_what_a_script_sends(page: Connection, script: Script) -> None:
    await page.run(
        """
        window.taken = [];
        await server.registerService({ id: "page", take: value => { taken.push(value); } });
        """
    )
    service = await script["get_service"]("page")

    for value, _ in TO_JAVASCRIPT.values():
        await service["take"](value)

    taken = await page.run("return taken")
    expected = {name: value for name, (_, value) in TO_JAVASCRIPT.items()}
    assert dict(zip(TO_JAVASCRIPT, taken, strict=True)) == expected


async def test_a_page_reads_a_file_of_a_script(page: Connection, script: Script) -> None:
    await page.run(
        "await server.registerService({ id: 'page', first: async file => file.read(4) })"
    )

    start = await (await script["get_service"]("page"))["first"](File(b"some text"))

    assert start == b"some"
