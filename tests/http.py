"""Requests over HTTP, and what came back."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from tests.gateways import SECOND


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


def request(url: str, data: bytes | None = None, /, *, method: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(url, data=data, headers=named, method=method or None)
    try:
        with urllib.request.urlopen(asked, timeout=30 * SECOND) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


async def ask(
    url: str, data: bytes | None = None, /, *, method: str = "", **headers: str
) -> Answer:
    return await asyncio.to_thread(request, url, data, method=method, **headers)
