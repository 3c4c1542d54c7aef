"""/ws: a client's connection, from its first message to its last (protocol.md 1)."""

import asyncio
import logging
import urllib.parse
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from hypha_cluster import log_fields
from hypha_cluster.clients.life import ClientLife
from hypha_cluster.errors import HubError, NotYetBack, RedisUnavailable
from hypha_cluster.protocol.limits import SHOWN
from hypha_cluster.relay.connections import Connection
from hypha_cluster.relay.intake import Intake
from hypha_cluster.supervision import Supervisor, Tasks
from hypha_cluster.web.lookup import Gatekeeper, base_url_of
from hypha_cluster.web.pace import Pace
from hypha_cluster.web.put_off import put_off
from hypha_cluster.web.sockets import LiveSocket, socket_of
from hypha_cluster.web.unfit_clients import is_of_next_generation, turn_away, warn_of_websockets

_log = logging.getLogger(__name__)

# A browser comes back by itself only when it refreshes its connection info, after 0.8 of this:
# well within the 10 s that old Python clients wait for an answer of its.
BROWSER_REFRESH: Final = 7.5  # seconds


class WebSocketApi:
    """Admits clients and runs their connections."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        clients: ClientLife,
        intake: Intake,
        recover: Callable[[Connection], Coroutine[None, None, None]],
        public_base_url: str,
        supervisor: Supervisor,
    ) -> None:
        self._recover = recover
        self._gatekeeper = gatekeeper
        self._clients = clients
        self._intake = intake
        self._public_base_url = public_base_url
        self._supervisor = supervisor
        self._recoveries = Tasks(supervisor)

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/ws", self.serve)]

    async def serve(self, websocket: WebSocket) -> None:
        """One connection; a refusal is HTTP 403 with the reason, as clients understand it."""
        if is_of_next_generation(websocket):
            await turn_away(websocket)
            return
        socket = socket_of(websocket.scope, websocket.receive, websocket.send, self._supervisor)
        try:
            connection = await self._attach(websocket, socket)
        except (RedisUnavailable, NotYetBack) as error:
            self._clients.refused(error)
            _log.warning("A client is put off: %s", error)
            await put_off(websocket)
            return
        except HubError as error:
            self._clients.refused(error)
            _log.info("A client was refused: %s", error)
            await websocket.send_denial_response(PlainTextResponse(str(error), 403))
            return
        except Exception:
            # Whatever it is: an error as the answer, or an end right after it, disables clients.
            await put_off(websocket)
            raise
        warn_of_websockets(websocket.headers, connection.address)
        await self._live(connection, socket)

    async def _live(self, connection: Connection, socket: LiveSocket) -> None:
        """Have frames routed; the connection may go on when this has returned."""
        try:
            socket.start(partial(self._on_message, connection, Pace(socket)), _nothing)
        except BaseException:
            self._clients.detach_soon(connection, 1006)
            raise
        recovery = None
        if connection.is_amnesic:
            recovery = self._recoveries.spawn(
                "recovery", self._recover(connection), detail=connection.address
            )
        request_id = log_fields.request_id.get()
        await socket.outlive(partial(self._closed, connection, request_id, recovery))

    def _closed(
        self,
        connection: Connection,
        request_id: str,
        recovery: "asyncio.Task[None] | None",
        code: int,
        _reason: str,
    ) -> None:
        if recovery is not None:
            recovery.cancel()
        with log_fields.about(request_id, connection.address):
            self._clients.detach_soon(connection, code)

    async def _attach(self, websocket: WebSocket, socket: LiveSocket) -> Connection:
        asked = websocket.scope["query_string"].decode()
        query = urllib.parse.parse_qs(asked, keep_blank_values=True)
        given = {key: value[-1] for key, value in query.items()}
        log_fields.client.set(given.get("client_id", "")[:SHOWN])  # as it says itself
        admission = await self._gatekeeper.admit(given)
        log_fields.client.set(f"{admission.workspace.name}/{admission.client}")
        return await self._clients.attach(
            admission,
            socket,
            websocket.accept,
            base_url=self._public_base_url or base_url_of(websocket),
            refresh_after=BROWSER_REFRESH if _is_browser(websocket.headers) else 0.0,
        )

    def _on_message(self, connection: Connection, pace: Pace, message: bytes | str) -> None:
        """Route a message; a text frame is not of this protocol and is ignored."""
        pace.count()
        if isinstance(message, bytes | bytearray | memoryview):
            self._intake.route(connection, message)


def _is_browser(headers: Headers) -> bool:
    return "origin" in headers or "mozilla" in headers.get("user-agent", "").lower()


def _nothing() -> None:
    """The outbox is bounded by Connections, which asks for its size."""
