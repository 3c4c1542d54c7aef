"""A provider of applications that are made with frameworks, old or current."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import fastapi
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from webapp_program import Json, main, tell  # type: ignore[import-not-found]

IS_OLD = fastapi.__version__ == "0.70.0"  # as under Pyodide


def fast_application() -> Any:
    app = fastapi.FastAPI()
    folder = Path(tempfile.mkdtemp())
    (folder / "page.txt").write_text("from a file")
    (folder / "page.js").write_text(PAGE_SCRIPT)
    app.mount("/static", StaticFiles(directory=folder), name="static")
    add_pages(app)
    add_page_for_people(app)
    add_forms(app)
    add_streams(app)
    return app


def add_pages(app: Any) -> None:
    @app.get("/")
    async def index(request: fastapi.Request) -> Json:
        return {"link": str(request.url_for("item", number="7"))}

    @app.get("/items/{number}")
    async def item(number: int, query: str = "") -> Json:
        return {"number": number, "query": query}

    @app.get("/slashed/")
    async def slashed() -> str:
        return "slashed"

    @app.get("/old")
    async def old(request: fastapi.Request) -> RedirectResponse:
        return RedirectResponse(str(request.url_for("item", number="1")))


# A page as people open it: all that it loads, and where it leads, `url_for` has said.
PAGE = """<!doctype html>
<title>A page</title>
<script src="{script}" defer></script>
<p id="socket"></p><p id="events"></p>
<a href="{item}">an item</a>
"""
PAGE_SCRIPT = """
const show = (id, text) => { document.getElementById(id).textContent += text; };
const socket = new WebSocket(new URL("socket", location.href.replace("http", "ws")));
socket.onopen = () => socket.send(JSON.stringify({ said: "hello" }));
socket.onmessage = ({ data }) => show("socket", data);
const events = new EventSource("events");
events.onmessage = ({ data }) => { show("events", data); if (data === "3") events.close(); };
"""


def add_page_for_people(app: Any) -> None:
    @app.get("/page")
    async def page(request: fastapi.Request) -> HTMLResponse:
        script = request.url_for("static", path="page.js")
        return HTMLResponse(PAGE.format(script=script, item=request.url_for("item", number="7")))

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def pieces() -> Any:
            for number in range(1, 4):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(pieces(), media_type="text/event-stream")


def add_forms(app: Any) -> None:
    @app.post("/body")
    async def body(request: fastapi.Request) -> Json:
        return {"body": await request.json(), "cookie": request.cookies.get("a")}

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError("it fails")


def add_streams(app: Any) -> None:
    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> Any:
            try:
                for number in range(1_000):
                    yield f"{number}\n"
                    await asyncio.sleep(0.05)
            finally:
                tell(event="stream ended")

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.get("/background")
    async def background(tasks: fastapi.BackgroundTasks) -> str:
        tasks.add_task(tell, event="background done")
        return "answered"

    @app.websocket("/socket")
    async def socket(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_json({"got": await websocket.receive_json()})
        except fastapi.WebSocketDisconnect as gone:
            tell(event="socket closed", code=gone.code)


def starlette_application() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    async def index(request: Any) -> JSONResponse:
        return JSONResponse({"link": str(request.url_for("item", number=7))})

    async def item(request: Any) -> JSONResponse:
        return JSONResponse({"number": request.path_params["number"]})

    async def stream(request: Any) -> StreamingResponse:
        async def pieces() -> Any:
            for number in range(20):
                yield f"{number}\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(pieces(), media_type="text/plain")

    async def socket(websocket: Any) -> None:
        await websocket.accept("chat")
        await websocket.send_text(await websocket.receive_text())
        await websocket.close(4000)

    routes = [
        Route("/", index),
        Route("/items/{number:int}", item, name="item"),
        Route("/stream", stream),
        WebSocketRoute("/socket", socket),
    ]
    return Starlette(routes=routes)


def flask_application() -> Any:
    import flask
    from a2wsgi import WSGIMiddleware

    app = flask.Flask(__name__)

    @app.get("/")
    def index() -> Json:
        return {"link": flask.url_for("index"), "query": flask.request.args.get("a")}

    @app.post("/form")
    def form() -> Json:
        return dict(flask.request.form)

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response((f"{number}\n" for number in range(1_000)), mimetype="text/plain")

    return WSGIMiddleware(app)


def django_application() -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import JsonResponse
    from django.urls import path

    def index(request: Any) -> JsonResponse:
        return JsonResponse({"path": request.path, "query": request.GET.get("a")})

    settings.configure(ROOT_URLCONF=(path("", index),), ALLOWED_HOSTS=["*"], SECRET_KEY="x")
    django.setup()
    return get_asgi_application()


def served(app: Any) -> Any:
    async def serve(interface: Json) -> None:
        # Adapters of WSGI call these from a thread, for which they have to be coroutines.
        async def receive() -> Any:
            return await interface["receive"]()

        async def send(message: Any) -> None:
            await interface["send"](message)

        await app(interface["scope"], receive, send)

    return serve


def services() -> list[Json]:
    whole = [] if IS_OLD else ["asgi-full-path"]
    fast = {"id": "fast", "type": "ASGI", "serve": served(fast_application()), "flags": whole}
    if IS_OLD:
        return [fast]
    return [
        fast,
        {
            "id": "starlette",
            "type": "ASGI",
            "serve": served(starlette_application()),
            "flags": whole,
        },
        {"id": "flask", "type": "ASGI", "serve": served(flask_application())},
        {"id": "django", "type": "ASGI", "serve": served(django_application()), "flags": whole},
    ]


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), services()))
