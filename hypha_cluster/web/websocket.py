"""/ws: a client's connection, from its first message to its last (protocol.md 1)."""

import contextlib
import logging
import urllib.parse
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from hypha_cluster.errors import HubError, NotYetBack, RedisUnavailable, TooMany
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.dialects.known import spoken_with
from hypha_cluster.registry.instances import TICKET
from hypha_cluster.relay.connection import Connection, Way
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.lookup import base_url_of
from hypha_cluster.web.origins import Origins
from hypha_cluster.web.put_off import put_off
from hypha_cluster.web.reception import Arrival, Reception
from hypha_cluster.web.sockets import LiveSocket, socket_of
from hypha_cluster.web.unfit_clients import turn_away, warn_of_websockets

_log = logging.getLogger(__name__)

# A page comes back by itself only when it refreshes its connection info, after 0.8 of this: well
# within the 10 s for which old Python clients wait for an answer of the page.
BROWSER_REFRESH: Final = 7.5  # seconds


class WebSocketApi:
    """Lets clients in by WebSocket."""

    def __init__(
        self,
        reception: Reception,
        public_base_url: str,
        supervisor: Supervisor,
        origins: Origins,
    ) -> None:
        self._origins = origins
        self._reception = reception
        self._public_base_url = public_base_url
        self._supervisor = supervisor

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/ws", self.serve)]

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection; a refusal is HTTP 403 with the reason, which clients understand."""
        dialect = spoken_with(websocket.scope["query_string"])
        if dialect is None:
            await turn_away(websocket)
            return
        socket = socket_of(websocket.scope, websocket.receive, websocket.send, self._supervisor)
        try:
            connection = await self._attach(websocket, socket, dialect)
        except (RedisUnavailable, NotYetBack) as error:
            self._reception.refused(error)
            _log.warning("A client is put off: %s", error)
            await put_off(websocket)
            return
        except HubError as error:
            self._reception.refused(error)
            _log.info("A client was refused: %s", error)
            await self._refuse(websocket, error)
            return
        except Exception:
            # An error as the answer to the handshake, or a close right after it, disables clients.
            await put_off(websocket)
            raise
        warn_of_websockets(websocket.headers, connection.address)
        await self._reception.live(connection, socket)

    async def _attach(
        self, websocket: WebSocket, socket: LiveSocket, dialect: Dialect
    ) -> Connection:
        asked = websocket.scope["query_string"].decode()
        query = urllib.parse.parse_qs(asked, keep_blank_values=True)
        given = {key: value[-1] for key, value in query.items()}
        if not _is_sandboxed(websocket.headers, given.get("token", "")):
            self._origins.check(websocket)
        admission = await self._reception.admit(given, websocket.scope)
        base_url = self._public_base_url or base_url_of(websocket)
        refresh_after = BROWSER_REFRESH if _is_browser(websocket.headers) else 0.0
        return await self._reception.attach(
            Arrival(
                admission._replace(dialect=dialect),
                socket,
                websocket.accept,
                Way(base_url, refresh_after),
            )
        )

    async def _refuse(self, websocket: WebSocket, error: HubError) -> None:
        """Answer 403 with the reason; but put off a client that comes back and has only to wait."""
        again = None
        if isinstance(error, TooMany):
            if error.subjects is not None:
                with contextlib.suppress(TooMany), self._reception.waiting(error) as spend:
                    reason = f"too many; try again in {error.seconds:.0f} s"
                    await put_off(websocket, error.close_code, reason, spend)
                    return
            again = {"Retry-After": f"{error.seconds:.0f}"}
        await websocket.send_denial_response(PlainTextResponse(str(error), 403, again))


def _is_sandboxed(headers: Headers, token: str) -> bool:
    """Whether a page in a sandbox asks: of an app, or of the playground. It has no origin.

    Pages of strangers can be in a sandbox, too. But no browser adds a token by itself, and whoever
    has a token needs no browser.
    """
    return token.startswith(TICKET) or (bool(token) and headers.get("origin") == "null")


def _is_browser(headers: Headers) -> bool:
    return "origin" in headers or "mozilla" in headers.get("user-agent", "").lower()
