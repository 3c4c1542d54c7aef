"""A request leaves nothing behind that only the garbage collector finds; looking costs all."""

import gc

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hypha_cluster.metrics import Counts
from hypha_cluster.web.answers import answer
from hypha_cluster.web.middleware.failures import handlers
from hypha_cluster.web.middleware.slashes import lead_by_slashes
from hypha_cluster.web.middleware.stack import stack
from tests.unit.web.middleware.asgi import ask

MANY = 50


async def show(request: Request) -> Response:
    return await answer(request, {"a": [1]})


async def test_no_request_leaves_a_circle() -> None:
    app = Starlette(
        routes=[Route("/here", show)],
        exception_handlers=handlers({}),
        middleware=stack(Counts(), "*", "", tracing=False),
    )
    lead_by_slashes(app.router)
    headers = [(b"accept-encoding", b"gzip"), (b"origin", b"https://a.example")]
    for path in ("/here", "/nowhere"):
        await ask(app, path=path, headers=headers)
    gc.collect()
    gc.disable()
    try:
        for _ in range(MANY):
            await ask(app, path="/here", headers=headers)
        found = gc.collect()
    finally:
        gc.enable()

    assert found < MANY, f"{found / MANY:.1f} objects a request"
