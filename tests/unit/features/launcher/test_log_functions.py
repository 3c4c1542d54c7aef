"""What instances have logged, as the functions of `server-apps` tell it."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from tests.app_rig import ANN, wanted
from tests.unit.features.launcher.rig import Functions, Site


async def test_a_log_is_read_by_kind_and_by_time(site: Site, functions: Functions) -> None:
    me = site.context()
    await site.pages.ask(wanted("c"), shared=False)
    await site.logs.write("ann/c", "log", ["one", "two"])
    await site.logs.write("ann/c", "error", ["bad"])

    by_time = await functions.logs.logs(me, "c", offset=1, limit=1)

    assert await functions.logs.get_log(me, "c", "log", 1) == ["two"]
    assert await functions.logs.get_log(me, "c") == {"error": ["bad"], "log": ["one", "two"]}
    assert (by_time["total"], len(by_time["items"])) == (3, 1)
    steps = await functions.logs.history(me, "c")
    assert [(step["from"], step["to"]) for step in steps] == [("", "pending")]


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"offset": -1}, "'offset' is a number of entries"),
        ({"limit": True}, "'limit' is a number of entries"),
        ({"after": 5}, "'after' is the cursor"),
        ({"after": "x"}, "'after' is the cursor"),
        ({"after": "", "wait": "long"}, "'wait' is a number of seconds"),
        ({"after": "", "wait": float("nan")}, "'wait' is a number of seconds"),
    ],
)
async def test_bad_questions_about_logs_are_told_what_is_wrong(
    site: Site, functions: Functions, about: dict[str, Any], says: str
) -> None:
    await site.pages.ask(wanted("c"), shared=False)

    with pytest.raises(BadRequest, match=says):
        await functions.logs.logs(site.context(), "c", **about)


async def test_who_asks_for_more_waits_within_bounds(site: Site, functions: Functions) -> None:
    await site.pages.ask(wanted("c"), shared=False)

    answer = await functions.logs.logs(site.context(), "c", after="", wait=9_999)

    assert answer == {"items": [], "cursor": ",,,,"}
    assert functions.followed.asked == [("ann/c", ",,,,", "ann", 25.0)]


async def test_a_stream_is_for_http(site: Site, functions: Functions) -> None:
    await site.pages.ask(wanted("c"), shared=False)

    with pytest.raises(BadRequest, match="A stream is for HTTP"):
        await functions.logs.follow(site.context(), "c")
    over_http = site.context(ANN, "ann", by_websocket=False)
    stream: object = await functions.logs.follow(over_http, "c", workspace="ann")
    assert stream == "a stream"
