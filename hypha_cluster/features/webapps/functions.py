"""Services of `type: "functions"`: each path is a function, which answers a whole request."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import FunctionNotFound
from hypha_cluster.features.webapps.events import (
    NOT_FOUND,
    Answer,
    answer_of,
    event_of,
    function_name,
)
from hypha_cluster.features.webapps.providers import REPEATABLE, Application
from hypha_cluster.features.webapps.scopes import app_path, app_scope
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import FUNCTION_BODY
from hypha_cluster.registry.services import Provider
from hypha_cluster.web.bodies import Room, read_body
from hypha_cluster.web.middleware.holding import holding


class FunctionServer:
    """Calls functions of clients, or of the hub itself, and sends on what they answer."""

    def __init__(self, visits: Visits, room: Room) -> None:
        self._visits = visits
        self._room = room

    async def serve(
        self,
        application: Application,
        provider: Provider,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request; a HubError if there is no answer to it."""
        if scope["type"] != "http":
            raise FunctionNotFound("A service of functions has no WebSocket.")
        if application.guest.refusal is not None:
            raise application.guest.refusal
        name, answer = function_name(app_path(scope)), NOT_FOUND
        if name is not None:
            with self._room.lease() as lease:
                body = await read_body(Request(scope, receive), lease, FUNCTION_BODY)
                event = self._event(application, scope, bytes(body))
                call = partial(self._call, application, name, event)
                answer = await application.ask(
                    provider, call, lambda: scope["method"] in REPEATABLE
                )
        with holding(scope, len(answer.body)):
            await _send(send, answer, with_body=scope["method"] != "HEAD")

    def _event(self, application: Application, scope: Scope, body: bytes) -> dict[str, Any]:
        guest = application.guest
        plain = app_scope(scope, guest.visitor, application.workspace)
        return event_of(plain, body, guest.user)

    async def _call(
        self, application: Application, name: str, event: dict[str, Any], provider: Provider
    ) -> Answer:
        visitor = application.guest.visitor
        try:
            function = await self._visits.member(visitor, provider, name)
        except FunctionNotFound:
            return NOT_FOUND
        if not rpc.is_reference(function):
            return NOT_FOUND
        return answer_of(await self._visits.call(visitor, provider, function, [event], {}))


async def _send(send: Send, answer: Answer, *, with_body: bool) -> None:
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
