"""GET /sse: clients that get their frames as events, and post what they send (docs/sse.md)."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hypha_cluster.clients.admission import Admission
from hypha_cluster.errors import HubError, NotYetBack, RedisUnavailable, TooMany
from hypha_cluster.protocol.limits import PUT_OFF, TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.registry.streams import Streams
from hypha_cluster.relay.connection import Connection, Way
from hypha_cluster.relay.tail import Tail
from hypha_cluster.supervision import Supervisor, Tasks
from hypha_cluster.web.event_stream import NUMBERED, Beginning, EventStream
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import base_url_of
from hypha_cluster.web.middleware.compression import as_it_is
from hypha_cluster.web.posting import Asked, Here, Posting, read_query
from hypha_cluster.web.reception import Arrival, Reception

_log = logging.getLogger(__name__)

PING: Final = 15.0  # seconds; proxies cut off streams that are silent for a minute
RETURN: Final = (0.3, 1.0)  # seconds after which a browser comes back; not all at the same time
_DIGITS: Final = 15  # of the number of an event
_RENEWALS: Final = 3  # how many ids a stream gets in the lifetime of one


class Terms(NamedTuple):
    """What the operator has chosen. identified_for: seconds for which an id is good."""

    public_base_url: str
    identified_for: float


class SseApi:
    """Lets clients in by event streams. make_token: makes the token by which one can come back."""

    def __init__(
        self,
        reception: Reception,
        posting: Posting,
        streams: Streams,
        make_token: Callable[[Connection], str],
        terms: Terms,
        supervisor: Supervisor,
    ) -> None:
        self._reception = reception
        self._posting = posting
        self._streams = streams
        self._make_token = make_token
        self._terms = terms
        self._supervisor = supervisor
        self._tasks = Tasks(supervisor)
        self._room = Room(TAILS)  # for what streams may have lost

    def routes(self) -> list[Route]:
        return [
            Route("/sse", _Stream(self), methods=["GET"]),
            Route("/sse", self._post, methods=["POST"]),
        ]

    async def _post(self, request: Request) -> Response:
        return await self._posting.serve(request, self._reception.allowance)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One stream. Browsers do not come back after any other answer than 200."""
        request, sending = Request(scope), as_it_is(scope, send)
        if request.method == "HEAD":
            await Response(media_type="text/event-stream")(scope, receive, send)
            return
        try:
            asked, seen = read_stream(request)
            admission = await self._reception.admit(asked.fields, scope)
            tail = self._tail(seen, admission.share.subjects)
            beginning = Beginning(asked.key, random.uniform(*RETURN), tail)
            stream = EventStream(beginning, scope, receive, sending, self._supervisor)
            connection = await self._attach(request, asked.key, admission, stream)
        except (RedisUnavailable, NotYetBack) as error:
            self._reception.refused(error)
            _log.warning("A client is put off: %s", error)
            await self._put_off(scope, receive, sending)
        except HubError as error:
            self._reception.refused(error)
            if not isinstance(error, TooMany) or error.subjects is None:
                _log.info("A client was refused: %s", error)
                raise
            with self._reception.waiting(error):
                await self._put_off(scope, receive, sending)
        except Exception:
            await self._put_off(scope, receive, sending)
            raise
        else:
            await self._live(connection, stream, asked.key)

    def _tail(self, seen: int | None, subjects: Sequence[str]) -> Tail:
        """What a stream may have lost. subjects: whose it is; of an address, all users are one."""
        whose = subjects[-1] if subjects else ""
        return Tail(seen, self._room, whose, self._supervisor.clock)

    async def _attach(
        self, request: Request, key: str, admission: Admission, stream: EventStream
    ) -> Connection:
        address = f"{admission.workspace.name}/{admission.client}"
        accept = partial(self._streams.open, key, address)
        base_url = self._terms.public_base_url or base_url_of(request)
        return await self._reception.attach(Arrival(admission, stream, accept, Way(base_url)))

    async def _live(self, connection: Connection, stream: EventStream, key: str) -> None:
        stream.identify(self._make_token(connection))
        here = Here(connection.address, stream)
        tending = self._tasks.spawn(
            "event stream", self._tend(connection, stream, key), detail=connection.address
        )
        self._posting.open(key, here)
        try:
            await self._reception.live(connection, stream)
        finally:
            self._posting.close(key, here)
            tending.cancel()

    async def _tend(self, connection: Connection, stream: EventStream, key: str) -> None:
        """Keep a stream alive for proxies, noted in Redis, and its token for coming back fresh."""
        clock = self._supervisor.clock
        identified_at = clock()
        while True:
            await self._supervisor.sleep(PING)
            stream.ping()
            await self._keep(connection, key)
            if clock() - identified_at > self._terms.identified_for / _RENEWALS:
                identified_at = clock()
                stream.identify(self._make_token(connection))

    async def _keep(self, connection: Connection, key: str) -> None:
        try:
            await self._streams.keep(key, connection.address)
        except RedisUnavailable as error:
            _log.info("That %s has a stream is not told yet: %s", connection.address, error)

    async def _put_off(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a client in, and end its stream later: it comes back, but not after a refusal."""
        beginning = Beginning("", RETURN[1], self._tail(None, ()))
        stream = EventStream(beginning, scope, receive, send, self._supervisor)
        stream.start(lambda message: None, lambda: None)

        async def send_away() -> None:
            await asyncio.sleep(PUT_OFF)
            stream.close(0)

        sending_away = self._tasks.spawn("put off", send_away())
        await stream.outlive(lambda code, reason: None)
        sending_away.cancel()


class _Stream:
    """The stream as an ASGI application; the handlers of the app answer its errors."""

    def __init__(self, api: SseApi) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api.serve(scope, receive, send)


def read_stream(request: Request) -> tuple[Asked, int | None]:
    """What a request asks for, with the id that a browser got last, and the number of that event.

    That token is fresher than the one in the query, which a browser repeats as it was at first. The
    number is None if there is none.
    """
    asked = read_query(request)
    last = header(request, b"last-event-id")
    if not last:
        return asked, None
    token, _, number = last.partition(NUMBERED.decode())
    fields = {**asked.fields, "reconnection_token": token}
    return Asked(fields, asked.key), _number(number)


def _number(text: str) -> int | None:
    is_one = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if is_one else None
