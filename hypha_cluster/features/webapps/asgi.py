"""Services of `type: "ASGI"`: the hub calls `serve` of a client, which calls back for its needs."""

import logging
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from hypha_cluster.errors import ClientLeft, HubError, InvalidToken, RemoteError, ServiceNotFound
from hypha_cluster.features.webapps.inlet import Browser, Inlet, Reading
from hypha_cluster.features.webapps.outlets import HttpOutlet, WebSocketOutlet
from hypha_cluster.features.webapps.providers import REPEATABLE, Application
from hypha_cluster.features.webapps.scopes import FULL_PATH, app_scope, with_full_path
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.services import Provider
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import too_slow

_log = logging.getLogger(__name__)

SERVE: Final = "serve"
_RESTARTING: Final = 1012  # for a browser that may find another provider, or the same one again
_FAILED: Final = 1011
# The message for an application whose gateway stops before the browser has left.
_END: Final[dict[str, Message]] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": _RESTARTING, "reason": ""},
}


class AsgiServer:
    """Lets ASGI applications of clients answer requests, and talk over WebSockets."""

    def __init__(self, visits: Visits, revocations: Revocations, supervisor: Supervisor) -> None:
        self._visits = visits
        self._revocations = revocations
        self._supervisor = supervisor

    async def serve(
        self,
        application: Application,
        provider: Provider,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request or WebSocket; a HubError as long as nothing has been answered."""
        inlet = Inlet(receive)
        outlet = (WebSocketOutlet if scope["type"] == "websocket" else HttpOutlet)(send, inlet)
        reading = Reading(inlet, self._supervisor)
        if scope["type"] == "websocket":
            reading.begin()
        plain = app_scope(scope, application.guest.visitor, application.workspace)
        interface = _Interface(inlet, outlet, reading)
        converse = partial(self._converse, application, plain, interface)
        farewell = partial(inlet.end, _END[scope["type"]])
        may_ask_again = partial(_may_ask_again, scope, inlet, outlet)
        guest = application.guest.visitor.identity
        try:
            async with self._revocations.holding(guest, application.workspace):
                await application.ask(provider, converse, may_ask_again, farewell)
        except HubError as error:
            if not outlet.has_begun:
                raise (too_slow() if inlet.browser is Browser.TOO_SLOW else error) from None
            if not outlet.is_complete:
                await _break_off(outlet, error, provider)
        finally:
            await reading.stop()

    async def _converse(
        self,
        application: Application,
        plain: dict[str, Any],
        interface: "_Interface",
        provider: Provider,
    ) -> None:
        interface.outlet.forget()
        interface.inlet.rewind()
        await self._call(application, plain, interface, provider)
        if not interface.outlet.has_begun:
            raise RemoteError("It returned without an answer.")

    async def _call(
        self,
        application: Application,
        plain: dict[str, Any],
        interface: "_Interface",
        provider: Provider,
    ) -> None:
        visitor, config = application.guest.visitor, provider.info["config"]
        if FULL_PATH in (config.get("flags") or ()):
            plain = with_full_path(plain)
        if config.get("require_context"):
            raise ServiceNotFound(
                f"{provider.address}:{provider.service} has require_context, which an ASGI "
                "application cannot have."
            )
        serve = await self._visits.member(visitor, provider, SERVE)
        async with self._visits.session(visitor, provider) as session:
            passed = {
                "scope": plain,
                "receive": session.offer("receive", interface.receive, prompt=True),
                "send": session.offer("send", interface.send, prompt=True),
            }
            await session.call(self._visits.method(provider, serve), [passed])
            await session.settled("send")


class _Interface(NamedTuple):
    """What an application calls."""

    inlet: Inlet
    outlet: HttpOutlet | WebSocketOutlet
    reading: Reading

    async def receive(self) -> Message:
        """The next piece of what the browser sends."""
        self.reading.begin()
        return await self.inlet.receive()

    async def send(self, message: Any) -> None:
        """Take a piece of the answer; from the first that is not the last on, read the browser."""
        if isinstance(message, dict) and message.get("more_body"):
            self.reading.begin()
        await self.outlet.send(message)


def _may_ask_again(scope: Scope, inlet: Inlet, outlet: HttpOutlet | WebSocketOutlet) -> bool:
    is_repeatable = scope["type"] == "websocket" or scope["method"] in REPEATABLE
    return is_repeatable and not outlet.has_begun and inlet.is_whole


async def _break_off(
    outlet: HttpOutlet | WebSocketOutlet, error: HubError, provider: Provider
) -> None:
    """End an answer that has begun: the server cuts it short, so that nobody takes it for whole."""
    _log.info("An answer of %s:%s breaks off: %s", provider.address, provider.service, error)
    if isinstance(outlet, WebSocketOutlet):
        await outlet.end(*_farewell(error))


def _farewell(error: HubError) -> tuple[int, str]:
    """The code and the reason with which a browser's WebSocket is closed."""
    if isinstance(error, InvalidToken):
        return error.close_code, "the token has been revoked"
    if isinstance(error, ClientLeft):
        return _RESTARTING, "the web application has left"
    return _FAILED, "it failed"
