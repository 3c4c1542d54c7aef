"""Python clients call each other's functions: arguments, results, errors, callbacks, context."""

import asyncio

import pytest

from tests.conformance.python_scene import Pair, every_release, refusal_of, unique
from tests.gateways import SECOND, Hub
from tests.python_client import NEWEST, Local, Recorder, releases_since

pytestmark = pytest.mark.clients


@every_release
async def test_arguments_may_be_positional_or_named(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {"id": "sums", "add": Local("add"), "multiply": Local("multiply"), "say": Local("hello")}
    )
    sums = await caller["get_service"]("sums")

    assert await sums["add"](3, 4) == 7
    assert await sums["add"](3) == 5
    assert await sums["add"](3, b=4) == 7
    assert await sums["add"](a=3, b=4) == 7
    assert await sums["multiply"](b=3, a=4) == 12
    assert await sums["say"]() == "Hello world"
    assert await sums["say"](name="John") == "Hello John"
    assert "argument" in await refusal_of(sums["add"](1, 2, 3))
    assert "unexpected" in await refusal_of(sums["add"](unexpected=1))


@every_release
async def test_any_number_of_arguments_arrives(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "mirror", "show": Local("keywords_of")})
    show = (await caller["get_service"]("mirror"))["show"]

    assert await show() == {"arguments": [], "keywords": {}}
    assert await show(1, {"a": 2}, None) == {"arguments": [1, {"a": 2}, None], "keywords": {}}
    assert await show(1, x={"a": 2}) == {"arguments": [1], "keywords": {"x": {"a": 2}}}


@every_release
async def test_a_function_may_have_any_signature(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "mirror", "awkward": Local("awkward")})

    mirror = await caller["get_service"]("mirror")

    assert await mirror["awkward"](flag=False) == {"options": {"x": [1, "a:b"]}, "flag": False}


@every_release
async def test_the_message_of_an_exception_arrives(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {"id": "faulty", "fail": Local("fail"), "fail_later": Local("fail_later")}
    )
    faulty = await caller["get_service"]("faulty")

    for function in ("fail", "fail_later"):
        assert "out of paper" in await refusal_of(faulty[function]("out of paper"))
        assert "jäm" in await refusal_of(faulty[function]("jäm"))


@every_release
async def test_many_calls_at_once_each_get_their_own_answer(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "mirror", "echo": Local("echo")})
    echo = (await caller["get_service"]("mirror"))["echo"]

    answers = await asyncio.gather(*(echo(number) for number in range(200)))

    assert answers == list(range(200))


@every_release
async def test_a_client_can_call_itself(hub: Hub, release: str, pair: Pair) -> None:
    _, client = await pair(hub, release)
    await client["register_service"]({"id": "mirror", "echo": Local("echo")})

    mirror = await client["get_service"]("mirror")

    assert await mirror["echo"]("myself") == "myself"


@every_release
async def test_a_function_that_wants_it_gets_the_context(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {
            "id": "concierge",
            "config": {"require_context": ["who_calls"]},
            "who_calls": Local("who_calls"),
            "echo": Local("echo"),
        }
    )
    concierge = await caller["get_service"]("concierge")

    context = await concierge["who_calls"]()

    info = await caller["get_connection_info"]()
    assert context["from"] == await caller.address()
    assert context["to"] == await provider.address()
    assert context["user"] == info["user_info"]
    assert context["connection_type"] == "websocket"
    assert context["method"] == "services.concierge.who_calls"
    assert await concierge["echo"]("no context here") == "no context here"


@every_release
async def test_a_service_that_wants_it_gets_the_context_in_every_function(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    service = await provider["register_service"](
        {"id": "host", "config": {"require_context": True}, "greet": Local("greet_caller")}
    )
    host = await caller["get_service"]("host")
    user = (await caller["get_connection_info"]())["user_info"]["id"]

    assert service["config"]["require_context"] is True
    assert await host["greet"]("Hi") == f"Hi {user}"
    assert await host["greet"](greeting="Good day") == f"Good day {user}"


@every_release
async def test_callbacks_work_while_the_call_lasts(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {"id": "worker", "apply": Local("apply"), "count_to": Local("count_to")}
    )
    worker = await caller["get_service"]("worker")
    progress = Recorder(unique("progress"))

    assert await worker["count_to"](5, progress) == "done"
    assert await worker["count_to"](2, progress=progress) == "done"

    counted = await caller.client.recorded(progress, 7)
    assert counted == [[0], [1], [2], [3], [4], [0], [1]]
    assert await worker["apply"](Local("hello"), "John") == "Hello John"
    assert "no thanks" in await refusal_of(worker["apply"](Local("fail_later"), "no thanks"))


@every_release
async def test_a_function_of_one_service_can_be_handed_to_another(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "worker", "apply": Local("apply")})
    await caller["register_service"]({"id": "sums", "add": Local("add")})
    worker = await caller["get_service"]("worker")
    sums = await caller["get_service"]("sums")

    assert await worker["apply"](sums["add"], 40) == 42


@every_release
async def test_functions_in_a_result_stay_usable(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "counters", "new": Local("new_counter")})
    counters = await caller["get_service"]("counters")

    one, two = await counters["new"](), await counters["new"]()

    assert [await one["increment"](), await one["increment"](by=10)] == [1, 11]
    assert await two["increment"]() == 1


@pytest.mark.parametrize("release", releases_since("0.5.50"))
async def test_an_interface_stays_usable_after_the_call(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {"id": "bell", "hold": Local("hold"), "notify_held": Local("notify_held")}
    )
    bell = await caller["get_service"]("bell")
    name = unique("held")

    await bell["hold"](name, {"_rintf": True, "notify": Local("hello")})

    assert await bell["notify_held"](name, "John") == "Hello John"
    assert await bell["notify_held"](name, "Jane") == "Hello Jane"


@every_release
async def test_a_function_that_has_gone_is_an_error(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "shop", "open": Local("echo")})
    shop = await caller["get_service"]("shop")
    await provider["register_service"]({"id": "shop", "shut": Local("echo")}, overwrite=True)

    async with asyncio.timeout(SECOND):
        text = await refusal_of(shop["open"](1))

    assert "services.shop.open" in text


async def test_the_newest_client_sees_what_a_function_is_for(hub: Hub, pair: Pair) -> None:
    provider, caller = await pair(hub, NEWEST)
    await provider["register_service"]({"id": "greeter", "hello": Local("hello")})

    greeter = await caller["get_service"]("greeter")

    assert await caller.client.documentation(greeter["hello"]) == "Greet somebody."
