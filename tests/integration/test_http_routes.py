"""The table of all routes holds; and nothing that a caller does wrong is the hub's failure."""

import asyncio
import http.client
import random
import string
import urllib.parse
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgpack
import pytest

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from hypha_cluster.protocol import rpc
from tests.gateways import SECOND, Hub
from tests.http import Answer
from tests.http_routes import ROWS, is_one_sentence, of_service
from tests.http_row import MSGPACK, Row
from tests.raw_client import RawClient

FAILURE = 500
ERROR = 400


class Lab(NamedTuple):
    """A provider on one gateway; the other is asked."""

    provider: RawClient
    url: str
    token: str

    async def ask(self, row: Row) -> Answer:
        return await asyncio.to_thread(self._ask, row)

    def _ask(self, row: Row) -> Answer:
        place = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(place.netloc, timeout=30 * SECOND)
        fields = {
            "Content-Type": row.content_type if row.body is not None else "",
            "Content-Encoding": row.encoding,
            "Accept": row.accept,
            "Authorization": self.token if row.token == "member" else row.token,
        }
        headers = {name: value for name, value in fields.items() if value}
        connection.request(row.method, row.path, row.body, headers)
        with connection.getresponse() as answer:
            found = Answer(answer.status, dict(answer.headers), answer.read())
        connection.close()
        return found


@pytest.fixture
async def lab(hub: Hub) -> AsyncIterator[Lab]:
    async with await RawClient.connect(hub.first) as provider:
        address = provider.address
        provider.functions["count.next"] = lambda: counted.pop(0) if counted else {"done": True}
        counted: list[object] = []

        def count(*_: object) -> object:
            counted[:] = [{"value": 1}, {"value": 2}]
            return {"_rtype": "generator", "next": rpc.reference(address, "count.next")}

        def stray(*_: object) -> object:
            return {"_rtype": "generator", "next": rpc.reference("elsewhere/x", "count.next")}

        await provider.offer(
            "open",
            "public",
            echo=lambda kwargs=None: kwargs or {},
            blob=lambda *_: b"\0",
            count=count,
            stray=stray,
        )
        opened = provider.functions["services.built-in.get_service"]("open")
        await provider.offer("closed", "protected", secret=lambda *_: "secret")
        closed = provider.functions["services.built-in.get_service"]("closed")
        site = lambda *_: {"body": "hello"}  # noqa: E731
        await provider.offer("site", "public", index=site)
        shown = provider.functions["services.built-in.get_service"]("site")
        await provider.offer("hidden", "protected", index=site)
        hidden = provider.functions["services.built-in.get_service"]("hidden")
        applications = {"site": shown, "hidden": hidden}
        services = {"open": opened, "closed": closed, **applications}
        provider.functions["services.built-in.get_service"] = services.__getitem__
        infos = [
            {"id": name, "config": api["config"]}
            | ({"type": "functions"} if name in applications else {})
            for name, api in services.items()
        ]
        await provider.manager("update_client_info", {"id": provider.client_id, "services": infos})
        token = await provider.manager("generate_token")
        yield Lab(provider, hub.second, token)


def name_of(row: Row) -> str:
    return f"{row.method} {row.path[:60]} {row.status} {row.says[:20]}"


@pytest.mark.parametrize("row", ROWS, ids=[f"{n} {name_of(row)}" for n, row in enumerate(ROWS)])
async def test_a_request_is_answered_as_the_table_says(lab: Lab, row: Row) -> None:
    asked = of_service(row, lab.provider.workspace, lab.provider.client_id)

    answer = await lab.ask(asked)

    assert answer.status == row.status, answer
    assert answer.headers.get("x-request-id")
    if row.accept == MSGPACK and row.status < ERROR:
        msgpack.unpackb(answer.body)
    assert asked.says.encode() in answer.body
    if row.status >= ERROR and row.method != "HEAD" and row.accept != "text/html":
        assert is_one_sentence(answer.body)


async def test_every_route_is_in_the_table(valkey_url: str, redis_prefix: str) -> None:
    """Whoever adds a route adds rows to tests/http_routes.py; docs/http.md is made of them."""
    app = create_app(Config(redis_url=valkey_url, redis_prefix=redis_prefix, port=0))
    async with app.router.lifespan_context(app):
        routes = {getattr(route, "path", "") for route in app.router.routes}

    assert routes == {row.route for row in ROWS if row.route}


async def test_whatever_is_asked_the_hub_does_not_fail(lab: Lab) -> None:
    """Paths, queries, headers and bodies of all kinds; the seed is fixed, so it is the same run."""
    rng = random.Random(7)
    odd = ["", "..", "%", "%00", "%FF", "%2F", "{x}", "*", "~x", ":", "a:b", "%C3%A9"]
    known = [lab.provider.workspace, "services", "open", "echo", "info", "public", "built-in"]
    names = [*odd, *known]
    kinds = ["application/json", MSGPACK, "text/plain", ";", "\xff"]
    for _ in range(300):
        path = "/" + "/".join(rng.choice(names) for _ in range(rng.randint(0, 5)))
        query = "&".join(
            f"{rng.choice(['x', '_mode', '__proto__', '_rtype', ''])}"
            f"={urllib.parse.quote(''.join(rng.choices(string.printable, k=rng.randint(0, 12))))}"
            for _ in range(rng.randint(0, 3))
        )
        row = Row(
            "",
            rng.choice(["GET", "POST", "HEAD", "PUT", "OPTIONS"]),
            f"{path}?{query}" if query else path,
            0,
            body=rng.choice([None, b"", b"{}", rng.randbytes(20), b'{"x": 1e999}']),
            content_type=rng.choice(kinds),
            encoding=rng.choice(["", "", "gzip", "x"]),
            accept=rng.choice(["", MSGPACK, "*/*;q=0"]),
            token=rng.choice(["", "", "member", "x", "Bearer", "Basic eDp5"]),
        )

        answer = await lab.ask(row)

        assert answer.status < FAILURE, (row, answer)
