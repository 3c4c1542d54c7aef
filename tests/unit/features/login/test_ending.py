"""A token that is ended by its id leaves the list when it has ended, and not before."""

import time
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from hypha_cluster.errors import HubError, Overloaded, RedisUnavailable
from hypha_cluster.features.login.account import AccountPages
from hypha_cluster.features.login.service import LoginService, TokenBook
from hypha_cluster.features.login.terms import LoginSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.limits import REVOCATIONS
from hypha_cluster.registry.issued import IssuedToken

ANN = Identity("ann", False, "ann@example.org")
TOKEN = IssuedToken("mine", "the name", ("ann",), time.time(), time.time() + 3_600)


def book(**failing: Any) -> Any:
    """A book of revocations and the list of tokens, which say in which order they are asked."""
    both = Mock()
    both.note, both.forget = AsyncMock(**failing), AsyncMock()
    both.get, both.book = AsyncMock(return_value=TOKEN), {}
    return both


async def by_a_program(both: Any) -> None:
    service = LoginService(Mock(), Mock(), Mock(), TokenBook(both, both), Mock(), LoginSettings())
    await service.revoke_token(Mock(identity=ANN), "mine")


async def on_the_page(both: Any) -> None:
    browsers, pages = Mock(), Mock()
    pages.required = AsyncMock(return_value=Mock(identity=ANN))
    browsers.form = AsyncMock(return_value={"token": "mine"})
    await AccountPages(pages, browsers, Mock(), Mock(), TokenBook(both, both)).end_token(Mock())


@pytest.mark.parametrize("end", [by_a_program, on_the_page])
async def test_it_is_revoked_and_then_leaves_the_list(end: Any) -> None:
    both = book()

    await end(both)

    asked = [name for name, _, _ in both.mock_calls if name in ("note", "forget")]
    assert asked == ["note", "forget"]
    assert both.note.call_args.args[0].name == TOKEN.id
    both.forget.assert_awaited_once_with("ann", TOKEN.id)


@pytest.mark.parametrize("end", [by_a_program, on_the_page])
async def test_one_that_could_not_be_ended_stays_on_the_list(end: Any) -> None:
    both = book(side_effect=RedisUnavailable("away"))

    with pytest.raises(HubError):
        await end(both)

    both.forget.assert_not_called()


async def test_one_stays_too_when_no_more_revocations_are_kept() -> None:
    both = book()
    both.book = range(REVOCATIONS)

    with pytest.raises(Overloaded):
        await by_a_program(both)

    both.forget.assert_not_called()
