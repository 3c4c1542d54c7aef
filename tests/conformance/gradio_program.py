"""A provider of a page that others have made: an interface of Gradio, whose answers are events."""

import asyncio
import json
import os
import sys
from typing import Any

os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}

import fastapi
import gradio
from framework_program import served  # type: ignore[import-not-found]
from webapp_program import main  # type: ignore[import-not-found]


def greet(name: str) -> str:
    return f"Hello, {name}, from {os.getpid()}"


async def serve_page(config: dict[str, Any]) -> None:
    page = gradio.Interface(greet, "text", "text", flagging_mode="never")
    app = gradio.mount_gradio_app(fastapi.FastAPI(), page, path="/")
    service = {
        "id": "gradio",
        "type": "ASGI",
        "serve": served(app),
        "flags": ["asgi-full-path"],
    }
    # Nobody else does what an ASGI server does at its start: the queue of Gradio begins by it.
    async with app.router.lifespan_context(app):
        await main(config, [service])


if __name__ == "__main__":
    asyncio.run(serve_page(json.loads(sys.argv[1])))
