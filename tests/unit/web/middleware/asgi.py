"""A request to an application, without a server."""

from starlette.types import ASGIApp, Message, Scope


async def ask(app: ASGIApp, **fields: object) -> list[Message]:
    """What an application sends for a GET of `/`, or whatever `fields` of the scope say."""
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        **fields,
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def headers_of(message: Message) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in message.get("headers", ())}
