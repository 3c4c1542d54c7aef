"""Who answers for a web application, and who does when the first one leaves."""

import asyncio
from collections.abc import Container
from typing import Any, cast

import pytest

from hypha_cluster.errors import (
    ClientAway,
    ClientLeft,
    ClientNotFound,
    HubError,
    InvalidToken,
    PermissionDenied,
    RemoteError,
    ServiceNotFound,
)
from hypha_cluster.features.webapps import providers as module
from hypha_cluster.features.webapps.entrance import Guest
from hypha_cluster.features.webapps.providers import Application
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.services import Provider

GUEST = Guest(Visitor(Identity("ann"), inside=True, base_url=""), None, None)


def provider(client: str, kind: str = "ASGI", *, online: bool = True) -> Provider:
    return Provider(f"w/{client}", "s", {"type": kind, "config": {}}, online)


class FakeVisits:
    """Some providers, the first of which is always the next."""

    def __init__(
        self, *providers: Provider, error: HubError | None = None, is_online: bool = True
    ) -> None:
        self._providers = providers
        self._error = error
        self._is_online = is_online

    async def is_online(self, provider: Provider) -> bool:
        return self._is_online

    async def find(
        self, *_: object, mode: str = "random", without: Container[str] = ()
    ) -> Provider:
        if self._error is not None:
            raise self._error
        for known in self._providers:
            if known.address not in without:
                return known
        raise ServiceNotFound("Service not found: w/s")


def application(*providers: Provider, guest: Guest = GUEST, **more: Any) -> Application:
    visits = cast(Visits, FakeVisits(*providers, **more))
    return Application(visits, guest, "w", ServiceQuery(None, None, "s"))


class Conversation:
    """Fails with each provider as it is told to."""

    def __init__(self, **errors: HubError) -> None:
        self._errors = errors
        self.asked: list[str] = []

    async def __call__(self, provider: Provider) -> str:
        client = provider.address.partition("/")[2]
        self.asked.append(client)
        if client in self._errors:
            raise self._errors[client]
        return f"answer of {client}"


async def ask(app: Application, talk: Conversation, *, may_ask_again: bool = True) -> str:
    return await app.ask(await app.find(), talk, lambda: may_ask_again)


@pytest.mark.parametrize("error", [ClientLeft("left"), ClientNotFound("left")])
async def test_another_provider_answers_when_one_has_left(error: HubError) -> None:
    talk = Conversation(a=error)

    assert await ask(application(provider("a"), provider("b")), talk) == "answer of b"
    assert talk.asked == ["a", "b"]


@pytest.mark.parametrize("error", [ClientLeft("left"), ClientNotFound("left")])
@pytest.mark.parametrize("others", [(), ("b",), ("b", "c")])
async def test_it_is_asked_no_more_than_twice(error: HubError, others: tuple[str, ...]) -> None:
    talk = Conversation(a=error, b=error)

    with pytest.raises(ClientLeft) as lost:
        await ask(application(provider("a"), *map(provider, others)), talk)

    assert lost.value.status == 502
    assert talk.asked == ["a", "b"][: 1 + len(others)]


async def test_what_cannot_be_repeated_is_not() -> None:
    talk = Conversation(a=ClientLeft("left"))

    with pytest.raises(ClientLeft):
        await ask(application(provider("a"), provider("b")), talk, may_ask_again=False)

    assert talk.asked == ["a"]


@pytest.mark.parametrize(("others", "status"), [([], 503), ([provider("b", online=False)], 503)])
async def test_one_that_may_be_back_is_said_to_be_away(others: list[Provider], status: int) -> None:
    talk = Conversation(a=ClientAway("away"))

    with pytest.raises(ClientAway) as away:
        await ask(application(provider("a"), *others), talk)

    assert away.value.status == status
    assert talk.asked == ["a"]


async def test_one_that_is_there_answers_for_one_that_may_be_back() -> None:
    talk = Conversation(a=ClientAway("away"))

    assert await ask(application(provider("a"), provider("b")), talk) == "answer of b"


async def test_a_trace_of_the_application_is_kept_from_browsers() -> None:
    talk = Conversation(a=RemoteError("Traceback: secret"))

    with pytest.raises(RemoteError) as failed:
        await ask(application(provider("a")), talk)

    assert "secret" not in str(failed.value)


async def test_a_service_of_another_type_is_no_application() -> None:
    with pytest.raises(ServiceNotFound, match="no web application"):
        await application(provider("a", "generic")).find()


async def test_a_bad_token_is_named_where_one_is_needed() -> None:
    guest = GUEST._replace(refusal=InvalidToken("expired"))

    with pytest.raises(InvalidToken, match="expired"):
        await application(guest=guest, error=PermissionDenied("no")).find()
    with pytest.raises(PermissionDenied, match="no"):
        await application(error=PermissionDenied("no")).find()


@pytest.mark.parametrize("is_online", [True, False])
async def test_a_provider_that_stays_away_while_it_works_is_given_up(
    monkeypatch: pytest.MonkeyPatch, is_online: bool
) -> None:
    monkeypatch.setattr(module, "LOOKING", 0.01)
    monkeypatch.setattr(module, "SUSPENDED_PATIENCE", 0.05)
    may_answer = asyncio.Event()

    async def converse(provider: Provider) -> str:
        await may_answer.wait()
        return "answer"

    app = application(provider("a"), is_online=is_online)
    asking = asyncio.create_task(app.ask(await app.find(), converse, lambda: False))
    await asyncio.wait([asking], timeout=0.5)
    may_answer.set()

    if is_online:
        assert await asking == "answer"
    else:
        with pytest.raises(ClientAway):
            await asking


async def test_one_that_is_there_does_at_once_what_a_suspended_one_may_never_finish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOKING", 0.01)
    monkeypatch.setattr(module, "SUSPENDED_PATIENCE", 600.0)

    async def converse(provider: Provider) -> str:
        if provider.address == "w/a":
            await asyncio.Event().wait()
        return provider.address

    app = application(provider("a"), provider("b"), is_online=False)
    async with asyncio.timeout(60):
        assert await app.ask(await app.find(), converse, lambda: True) == "w/b"


async def test_what_cannot_be_repeated_waits_for_a_suspended_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOKING", 0.01)
    monkeypatch.setattr(module, "SUSPENDED_PATIENCE", 0.05)

    async def converse(provider: Provider) -> str:
        assert provider.address == "w/a"
        await asyncio.Event().wait()
        return "never"

    app = application(provider("a"), provider("b"), is_online=False)
    with pytest.raises(ClientAway):
        await app.ask(await app.find(), converse, lambda: False)
