"""Every type of value that a Python client can send arrives as what it should."""

import math
from collections import OrderedDict
from typing import Any

import pytest

from tests.conformance.python_scene import Pair, every_release, refusal_of
from tests.gateways import SECOND, Hub
from tests.python_client import (
    RELEASES,
    Connection,
    Error,
    File,
    Local,
    Map,
    NewArray,
    Remote,
    Scalar,
    Unsupported,
)

pytestmark = pytest.mark.clients

SAME: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    0.1,
    -1e300,
    math.inf,
    "",
    "Grüße, 世界 🌍\x00",
    b"",
    bytes(range(256)),
    [],
    [1, [2, [3, [None]]]],
    {},
    {"a": {"b": [{"c": b"d"}]}, "": 1, "with space": 2},
    {1, 2, 3},
    set(),
    memoryview(b"memory"),
    {"_rtype": "pixel", "x": 1, "y": [2]},
]
CHANGED: list[tuple[Any, Any]] = [
    ((1, 2), [1, 2]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4"]
OTHERS = ["bool", "float16", "float32", "float64", "complex64", "complex128", "<U3", "S3"]
ARRAYS: list[NewArray | Scalar] = [
    *(NewArray(dtype, (2, 3)) for dtype in [*INTEGERS, *OTHERS]),
    NewArray("float32", ()),
    NewArray("float32", (0,)),
    NewArray("uint8", (4, 0, 2)),
    NewArray("uint8", (2, 3, 4, 5)),
    Scalar("float32", 0.5),
    Scalar("int64", -7),
]


async def echo_of_the_manager(_: Connection, caller: Connection) -> Remote:
    echo: Remote = caller["echo"]
    return echo


async def echo_of_a_client(provider: Connection, caller: Connection) -> Remote:
    await provider["register_service"]({"id": "mirror", "echo": Local("echo")})
    echo: Remote = (await caller["get_service"]("mirror"))["echo"]
    return echo


through_both = pytest.mark.parametrize("way", [echo_of_the_manager, echo_of_a_client])


@every_release
@through_both
async def test_a_value_comes_back_as_it_was(hub: Hub, release: str, pair: Pair, way: Any) -> None:
    echo = await way(*await pair(hub, release))

    for value in SAME:
        back = await echo(value)
        assert back == value
        assert type(back) is type(value)
    for value, expected in CHANGED:
        assert await echo(value) == expected
    assert math.isnan(await echo(math.nan))


@every_release
@through_both
async def test_an_array_comes_back_as_it_was(hub: Hub, release: str, pair: Pair, way: Any) -> None:
    echo = await way(*await pair(hub, release))

    for array in ARRAYS:
        assert await echo(array) == await echo.client.describe(array)
    nested = {"arrays": [ARRAYS[0], {"deeper": ARRAYS[1]}]}
    assert await echo(nested) == await echo.client.describe(nested)


@every_release
@through_both
async def test_an_exception_can_be_a_value(hub: Hub, release: str, pair: Pair, way: Any) -> None:
    echo = await way(*await pair(hub, release))

    [back] = await echo([Error("out of paper")])

    assert isinstance(back, Error)
    assert "out of paper" in back.text


# 0.5.38 to 0.5.47 cannot read the signatures that another client gives a file's functions.
@pytest.mark.parametrize("release", [release for release in RELEASES if release != "0.5.44"])
async def test_a_file_can_be_read_from_afar(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "reader", "read": Local("read_file")})
    reader = await caller["get_service"]("reader")

    assert await reader["read"](File(b"line 1\nline 2\n")) == [b"line 1\n", b"line 2\n"]


@every_release
@through_both
async def test_functions_in_a_value_come_back(hub: Hub, release: str, pair: Pair, way: Any) -> None:
    echo = await way(*await pair(hub, release))

    [back] = await echo([{"run": Local("hello")}])

    assert isinstance(back["run"], Remote)


@every_release
@through_both
async def test_what_cannot_be_sent_is_an_error_of_the_sender_alone(
    hub: Hub, release: str, pair: Pair, way: Any
) -> None:
    echo = await way(*await pair(hub, release))

    assert "Unsupported data type" in await refusal_of(echo(Unsupported()))
    assert await echo("still here") == "still here"


@every_release
@through_both
async def test_a_key_that_is_no_text_harms_nobody(
    hub: Hub, release: str, pair: Pair, way: Any
) -> None:
    echo = await way(*await pair(hub, release))

    await refusal_of(echo(Map(((1, "one"), ("two", 2)))), within=2 * SECOND)

    assert await echo("still here") == "still here"
