"""Puts off clients for which there is no place at the moment: lets them in, and closes them later.

A refusal would disable them, and so would a close within seconds (protocol.md 1.3). Meanwhile they
believe that they are connected, and what they call is rejected.
"""

import asyncio
import contextlib
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hypha_cluster.clients.life import GOING_AWAY
from hypha_cluster.errors import BadFrame
from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import absolute, is_hub, workspace_of
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack
from hypha_cluster.protocol.limits import ADDRESS, CLIENT_FRAME, PUT_OFF
from hypha_cluster.web.pace import Spend

REASON: Final = "The hub cannot take this call now; it went to nobody. Call again in some seconds."


def _freely(_frames: int, _size: int) -> float:
    return 0.0


async def put_off(
    websocket: WebSocket,
    code: int = GOING_AWAY,
    reason: str = "the relay is unavailable",
    spend: Spend = _freely,
) -> None:
    """Let a client in, and close it later: it tries again, but would not after a refusal.

    It may be in already, when something failed right after that. spend: decides how fast it is
    read.
    """
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept()
    try:
        async with asyncio.timeout(PUT_OFF):
            await _decline_calls(websocket, spend)
    except TimeoutError:
        await websocket.close(code, reason)


async def _decline_calls(websocket: WebSocket, spend: Spend) -> None:
    """Answer what the client sends until it ends the connection."""
    reader = FrameReader(CLIENT_FRAME)
    while (event := await websocket.receive())["type"] == "websocket.receive":
        raw = event.get("bytes") or b""
        await asyncio.sleep(spend(1, len(raw)))
        reject = declined(reader, raw)
        if reject is not None:
            with contextlib.suppress(WebSocketDisconnect):  # it has just gone
                await websocket.send_bytes(reject)


def declined(reader: FrameReader, raw: bytes) -> bytes | None:
    """The reject of a call, as whoever is called; None where nobody waits, or the hub is called.

    A client that gets an error from the hub itself does not ask again (protocol.md 1.6); without an
    answer, it makes those calls anew on its next connection.
    """
    try:
        frame = reader.read(raw)
    except BadFrame:
        return None
    to, promise = frame.envelope.get("to"), frame.body.get("promise")
    reject = rpc.reject_path(promise)
    if type(to) is not str or len(to) > ADDRESS or promise is None or reject is None:
        return None
    caller = promise["reject"].get("_rtarget")
    if type(caller) is not str or len(caller) > ADDRESS:
        return None
    target = absolute(to, workspace_of(caller))
    if is_hub(target):
        return None
    seal = Seal(target, ROOT.to_wire())
    return seal.call(rpc.call_envelope(caller, reject), pack({"args": [rpc.error(REASON)]}))
