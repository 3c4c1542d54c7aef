"""The front page says what it is."""

import json

from starlette.routing import Router

from hypha_cluster import __version__
from hypha_cluster.web.pages import PagesApi
from tests.unit.web.middleware.asgi import ask


async def test_the_front_page_names_the_hub() -> None:
    start, body = await ask(Router(PagesApi().routes()), path="/")

    assert start["status"] == 200
    value = json.loads(body["body"])
    assert (value["name"], value["version"]) == ("Hypha", __version__)
