"""Hypercorn's own WebSocket path, for HTTP/2 and for `--no-fast-websockets`."""

from typing import Any

from hypercorn.protocol.events import Event as StreamEvent, Request
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

Event = dict[str, Any]  # of ASGI


class TellingStream(WSStream):
    """Hypercorn's stream, but the application is told with which code and reason a peer closed.

    Hypercorn itself tells every end as abnormal, so that no client would ever leave.
    """

    _peer_close: CloseConnection | None = None

    async def handle(self, event: StreamEvent) -> None:
        await super().handle(event)
        if isinstance(event, Request) and self.app_put is not None:
            self._hypercorns_put, self.app_put = self.app_put, self._put_as_closed

    async def _put_as_closed(self, event: Event) -> None:
        if event["type"] == "websocket.disconnect" and self._peer_close is not None:
            close = self._peer_close
            event = {**event, "code": int(close.code), "reason": close.reason or ""}
        await self._hypercorns_put(event)

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection) and self._is_peer_closing():
            self._peer_close = event  # the answer, which says the same
        await super()._send_wsproto_event(event)

    def _is_peer_closing(self) -> bool:
        return self.connection.state is ConnectionState.REMOTE_CLOSING
