"""Values arrive as they were sent, by way of the hub and by way of another page."""

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

VALUES = {
    "constants": "[null, true, false]",
    "integers": "[0, 1, -1, 127, 128, 255, 256, 65535, 65536, -32769, 2 ** 32, 2 ** 53 - 1]",
    "fractions": "[-(2 ** 53 - 1), 0.1, 1e300, -1.5, NaN, Infinity, -Infinity]",
    "texts": "['', 'text', 'Größe 中文 🙂', 'a\\u0000b', 'x'.repeat(70000)]",
    "containers": "[[], {}, [[1, [2, [3]]]], { a: { b: { c: [{}] } } }]",
    "keys": "({ '1': 'one', 'ключ': 2, 'with.dots and spaces': 3 })",
    "a long list": "Array.from({ length: 70000 }, (_, index) => index)",
    "Uint8Array": "new Uint8Array([0, 1, 2, 253, 254, 255])",
    "an empty Uint8Array": "new Uint8Array(0)",
    "Int8Array": "new Int8Array([-128, 0, 127])",
    "Int16Array": "new Int16Array([-32768, 0, 32767])",
    "Int32Array": "new Int32Array([-2147483648, 0, 2147483647])",
    "Uint16Array": "new Uint16Array([0, 65535])",
    "Uint32Array": "new Uint32Array([0, 4294967295])",
    "Float32Array": "new Float32Array([0.5, -1.25, 1e30])",
    "Float64Array": "new Float64Array([0.1, -1e300, NaN])",
    "ArrayBuffer": "new Uint8Array([1, 2, 3, 4]).buffer",
    "Set": "new Set([1, 'two', [3]])",
    "Map": "new Map([['a', 1], [2, { b: 3 }], ['c', new Uint8Array([4])]])",
    "Date": "new Date(1700000000123)",
    "nested": "({ pixels: [new Uint16Array([1, 2]), new Set([new Map([[1, 2]])])], note: 'x' })",
}


# An object with all of them, made anew each time.
ITEMS = ", ".join(f"'{name}': {value}" for name, value in VALUES.items())
MAKE = f"const make = () => ({{ {ITEMS} }});"


async def test_values_come_back_from_the_hub(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    sent, received = await connection.run(
        MAKE
        + """
        const received = {};
        for (const [name, value] of Object.entries(make())) {
          received[name] = await server.echo(value);
        }
        return [make(), received];
        """
    )

    assert received == sent


async def test_values_arrive_at_another_page_and_come_back(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    sent, arrived, received = await caller.run(
        MAKE
        + """
        const tools = await server.getService("tools");
        const arrived = {};
        const received = {};
        for (const [name, value] of Object.entries(make())) {
          arrived[name] = await tools.describe(value);
          received[name] = await tools.echo(value);
        }
        return [make(), arrived, received];
        """
    )

    assert arrived == sent
    assert received == sent


async def test_values_travel_together(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")

    sent, received = await caller.run(
        MAKE + "return [make(), await (await server.getService('tools')).echo(make())]"
    )

    assert received == sent


async def test_a_view_of_bytes_arrives_as_its_buffer(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    buffer, received = await caller.run(
        """
        const view = new DataView(new Uint8Array([1, 2, 3]).buffer);
        return [view.buffer, await (await server.getService("tools")).echo(view)];
        """
    )

    assert received == buffer


async def test_a_blob_can_be_read_at_the_other_side(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    sent, received = await caller.run(
        """
        const blob = new Blob(["some ", "text"], { type: "text/plain" });
        return [blob, await (await server.getService("tools")).describe(blob)];
        """
    )

    assert received == sent


async def test_a_blob_can_be_a_result(provider: Connection, caller: Connection) -> None:
    await provider.run(
        "await server.registerService({ id: 'tools', make: text => new Blob([text]) })"
    )

    text = await caller.run(
        """
        const blob = await (await server.getService("tools")).make("made for you");
        return await blob.text();
        """
    )

    assert text == "made for you"


async def test_an_error_can_be_a_value(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")
    for page in (provider.page, caller.page):
        page.tolerate("only a value")

    kind, message = await caller.run(
        "return await (await server.getService('tools')).echo(new Error('only a value'))"
    )

    assert kind == "Error"
    assert "only a value" in message


async def test_an_array_with_a_shape_keeps_it(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")

    sent, received = await caller.run(
        """
        const make = () => ({
          _rtype: "ndarray",
          _rvalue: new Uint8Array(new Uint16Array([1, 2, 3, 4, 5, 6]).buffer),
          _rshape: [2, 3],
          _rdtype: "uint16",
        });
        return [make(), await (await server.getService("tools")).echo(make())];
        """
    )

    assert received == sent


async def test_a_value_of_a_codec_comes_back(provider: Connection, caller: Connection) -> None:
    codec = """
        class Money { constructor(amount) { this.amount = amount; } }
        server.registerCodec({
          name: "money",
          type: Money,
          encoder: money => ({ _rtype: "money", amount: money.amount }),
          decoder: encoded => new Money(encoded.amount),
        });
        window.Money = Money;
    """
    await provider.run(
        codec + "await server.registerService({ id: 'bank', double: m => new Money(2 * m.amount) })"
    )

    amount = await caller.run(
        codec
        + """
        const money = await (await server.getService("bank")).double(new Money(21));
        return [money instanceof Money, money.amount];
        """
    )

    assert amount == [True, 42]
