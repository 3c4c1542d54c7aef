"""POST /sse: frames that a client with an event stream sends; they may arrive at any gateway."""

import asyncio
import hashlib
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hypha_cluster.errors import BadRequest, ClientBusy, HubError, NotFound, PermissionDenied
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.limits import (
    LONGEST_SESSION,
    SHORTEST_SESSION,
    STREAM_PATIENCE,
)
from hypha_cluster.registry.streams import Streams
from hypha_cluster.relay.allowance import Allowance
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.sockets import Verdict
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room, read_body
from hypha_cluster.web.event_stream import EventStream
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import token_of

_PAUSE: Final = 0.1  # seconds before a stream is looked for again


# Takes a token and the ASGI scope of a request; returns what its sender may put into mailboxes.
AllowanceOf = Callable[[str, Mapping[str, Any]], Awaitable[Allowance]]


class Asked(NamedTuple):
    """What a request says of its client. key: the digest of what only the client knows."""

    fields: Mapping[str, str]
    key: str


def read_query(request: Request) -> Asked:
    """Read the query, and what may stand in a header instead."""
    asked = request.scope["query_string"].decode(errors="replace")
    query = urllib.parse.parse_qs(asked, keep_blank_values=True)
    fields = {key: value[-1] for key, value in query.items()}
    token = fields.get("token") or token_of(header(request, b"authorization")) or ""
    session = fields.get("session_id", "")
    if not SHORTEST_SESSION <= len(session) <= LONGEST_SESSION:
        raise BadRequest(
            f"session_id is a text of {SHORTEST_SESSION} to {LONGEST_SESSION} characters that "
            "only the client knows; hyphaSSEClient makes one."
        )
    secret = f"{len(session)}:{session}{token}".encode(errors="surrogatepass")
    return Asked({**fields, "token": token}, hashlib.sha256(secret).hexdigest())


class Here(NamedTuple):
    """A stream of this gateway, and whose it is."""

    address: str
    stream: EventStream


class Posting:
    """Takes what is posted, and brings it to the stream. max_frame_size: in bytes."""

    def __init__(
        self,
        streams: Streams,
        posts: Posts,
        max_frame_size: int,
        room: Room,
        counts: Counts,
        supervisor: Supervisor,
    ) -> None:
        self._streams = streams
        self._posts = posts
        self._max_frame_size = max_frame_size
        self._room = room
        self._counts = counts
        self._supervisor = supervisor
        self._here: dict[str, Here] = {}

    def open(self, key: str, here: Here) -> None:
        """A stream has begun at this gateway."""
        self._here[key] = here
        self._counts.streams += 1

    def close(self, key: str, here: Here) -> None:
        """It has ended."""
        self._counts.streams -= 1
        if self._here.get(key) is here:  # else the client has come back already
            del self._here[key]

    async def serve(self, request: Request, allowance_of: AllowanceOf) -> Response:
        """One frame. 200: it was routed; 202: it is kept until the client is back."""
        asked = read_query(request)
        mail = await allowance_of(asked.fields["token"], request.scope)
        refusal = mail.refusal()
        with self._room.lease() as lease:
            body = await read_body(request, lease, self._max_frame_size)
            verdict = await self._bring(asked, bytes(body), may_mail=refusal is None)
        if verdict is Verdict.KEPT:
            mail.spend(len(body))
        elif verdict is Verdict.BUSY and refusal is not None:
            raise refusal
        self._counts.posts[verdict] += 1
        if verdict is Verdict.ROUTED:
            return JSONResponse({"success": True})
        if verdict is Verdict.KEPT:
            return JSONResponse({"success": True, "detail": "It waits for the stream."}, 202)
        raise _error_of(verdict)

    async def _bring(self, asked: Asked, frame: bytes, *, may_mail: bool) -> Verdict:
        """Have a frame routed, wherever the stream is; wait a while if it has just ended."""
        clock, sleep = self._supervisor.clock, self._supervisor.sleep
        deadline = clock() + STREAM_PATIENCE
        while True:
            here = self._here.get(asked.key)
            address = await self._streams.find(asked.key) if here is None else here.address
            if address is None:  # its client posts only after Redis has been told of it
                return Verdict.OVER
            _check(asked.fields, address)
            if here is None:
                verdict = await self._posts.send(address, asked.key, frame, may_mail=may_mail)
            else:
                verdict = await _put(here, asked.key, frame)
            if verdict is not Verdict.OVER or clock() > deadline:
                return verdict
            await sleep(_PAUSE)


async def _put(here: Here, key: str, frame: bytes) -> Verdict:
    settled: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def settle(verdict: Verdict) -> None:
        if not settled.done():  # whoever posted may have gone
            settled.set_result(verdict)

    here.stream.postbox.put(key, frame, settle)
    return await settled


def _check(fields: Mapping[str, str], address: str) -> None:
    """Check that a frame is posted by the client that it names."""
    workspace, _, client = address.partition("/")
    for name, found in (("workspace", workspace), ("client_id", client)):
        if fields.get(name, "") not in ("", found):
            raise PermissionDenied(f"This session is of another {name}.")


def _error_of(verdict: Verdict) -> HubError:
    if verdict is Verdict.BUSY:
        return ClientBusy("Too much is posted that waits already; try again in a moment.")
    if verdict is Verdict.REFUSED:
        return PermissionDenied("The client has another stream, or is connected by WebSocket.")
    return NotFound(
        "There is no stream with this session_id and this token; "
        "open it first: GET /sse with the same query."
    )
