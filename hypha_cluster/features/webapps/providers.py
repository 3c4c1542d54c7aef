"""A web application, whichever of several clients provides it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

from hypha_cluster.errors import (
    ClientAway,
    ClientLeft,
    ClientNotFound,
    HubError,
    PermissionDenied,
    RedisUnavailable,
    RemoteError,
    ServiceNotFound,
)
from hypha_cluster.features.webapps.entrance import Guest
from hypha_cluster.hub.services import is_hub
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.services import Provider

_log = logging.getLogger(__name__)

ASGI: Final = "ASGI"
FUNCTIONS: Final = "functions"
REPEATABLE: Final = ("GET", "HEAD")  # methods of requests that another provider may do again
SUSPENDED_PATIENCE: Final = 8.0  # seconds for a provider to come back
LOOKING: Final = 2.0  # seconds between two looks at whether a provider is there

LAST_WORDS: Final = 0.5  # seconds for a provider to end what it does, when its gateway stops

T = TypeVar("T")


class Application:
    """What a guest has asked for."""

    def __init__(self, visits: Visits, guest: Guest, workspace: str, wanted: ServiceQuery) -> None:
        self.guest = guest
        self.workspace = workspace
        self._visits = visits
        self._wanted = wanted
        self._lost: set[str] = set()
        self._farewell: Callable[[], None] = lambda: None

    async def find(self) -> Provider:
        """The provider that is to answer; ServiceNotFound, or the error of the guest's token."""
        try:
            provider = await self._visits.find(
                self.guest.visitor,
                self._wanted,
                self.workspace,
                mode="least_busy",
                without=self._lost,
            )
        except PermissionDenied as error:
            raise self.guest.refusal or error from None
        if provider.info.get("type") not in (ASGI, FUNCTIONS):
            raise ServiceNotFound(
                f"{self.workspace}/{self._wanted.service} is no web application: "
                f"its type is not {ASGI!r} or {FUNCTIONS!r}."
            )
        return provider

    async def ask(
        self,
        provider: Provider,
        converse: Callable[[Provider], Awaitable[T]],
        may_ask_again: Callable[[], bool],
        farewell: Callable[[], None] = lambda: None,
    ) -> T:
        """Let a provider answer, or another one if the first is lost or suspended before it has.

        may_ask_again: whether another one may do it now. farewell: lets the provider know that this
        gateway stops.
        """
        self._farewell = farewell
        try:
            return await self._ask(provider, converse, may_ask_again)
        except (ClientLeft, ClientNotFound) as error:
            another = await self._another(provider) if may_ask_again() else None
            if another is None:
                raise _lost(error) from None
        try:
            return await self._ask(another, converse, lambda: False)
        except ClientNotFound as error:
            raise _lost(error) from None

    async def _another(self, lost: Provider) -> Provider | None:
        self._lost.add(lost.address)
        try:
            another = await self.find()
        except ServiceNotFound:
            return None
        return another if another.online else None

    async def _ask(
        self,
        provider: Provider,
        converse: Callable[[Provider], Awaitable[T]],
        may_ask_again: Callable[[], bool],
    ) -> T:
        try:
            if is_hub(provider.address):
                return await converse(provider)
            return await self._ask_client(provider, converse, may_ask_again)
        except RemoteError as error:
            _log.info("The web application %s failed: %s", _name(provider), error)
            raise RemoteError(
                "The web application failed; the log of its provider says why."
            ) from None

    async def _ask_client(
        self,
        provider: Provider,
        converse: Callable[[Provider], Awaitable[T]],
        may_ask_again: Callable[[], bool],
    ) -> T:
        work = asyncio.ensure_future(converse(provider))
        try:
            await asyncio.wait((work,), timeout=LOOKING)  # by then, most work is done
            if not work.done():
                await self._watched(provider, work, may_ask_again)
            return work.result()
        except asyncio.CancelledError:
            self._farewell()
            await asyncio.wait((work,), timeout=LAST_WORDS)
            raise
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))

    async def _watched(
        self, provider: Provider, work: asyncio.Future[T], may_ask_again: Callable[[], bool]
    ) -> None:
        """Wait until it is done; ClientAway when its provider does not come back in time."""
        watch = asyncio.ensure_future(self._watch(provider, may_ask_again))
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await watch
        finally:
            watch.cancel()
            await asyncio.wait((watch,))

    async def _watch(self, provider: Provider, may_ask_again: Callable[[], bool]) -> NoReturn:
        """Raise ClientAway when a provider is suspended, and another one can do its work.

        If none can, the provider has time to come back. Gateways do not tell each other that a
        connection broke, so the registry is asked.
        """
        suspended_for = 0.0
        while suspended_for < SUSPENDED_PATIENCE:
            with contextlib.suppress(RedisUnavailable):
                is_online = await self._visits.is_online(provider)
                suspended_for = 0.0 if is_online else suspended_for + LOOKING
                if not is_online and may_ask_again() and await self._another(provider):
                    break
            await asyncio.sleep(LOOKING)
        raise ClientAway.at(provider.address)


def _name(provider: Provider) -> str:
    return f"{provider.address}:{provider.service}"


def _lost(error: HubError) -> HubError:
    """The error for a browser: a provider that is not there any more has left."""
    return ClientLeft(str(error)) if isinstance(error, ClientNotFound) else error
