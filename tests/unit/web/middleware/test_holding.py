"""Long answers: each address has room for some, and it is there again when they are sent."""

import contextlib
from typing import Any

import pytest

from hypha_cluster.errors import Overloaded
from hypha_cluster.protocol.limits import LONG_ANSWER
from hypha_cluster.web.middleware import holding as module
from hypha_cluster.web.middleware.holding import HoldAnswers, holding

LONG = LONG_ANSWER + 1


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the scope of a request from an address."""
    monkeypatch.setattr(module, "LONG_ANSWERS", 7 * LONG)

    async def nothing(*_: Any) -> Any:
        """Answer nothing."""

    middleware = HoldAnswers(nothing)

    async def scope_from(address: str) -> dict[str, Any]:
        scope: dict[str, Any] = {"type": "http", "client": (address, 1)}
        await middleware(scope, nothing, nothing)
        return scope

    return scope_from


async def test_an_address_leaves_as_much_to_others_as_it_has(asked: Any) -> None:
    with contextlib.ExitStack() as stack:
        for address, most in (("a", 3), ("b", 2)):
            scope = await asked(address)
            for _ in range(most):
                stack.enter_context(holding(scope, LONG))
            with pytest.raises(Overloaded, match="long answers"), holding(scope, LONG):
                pass
            with holding(scope, LONG_ANSWER):  # a short one
                pass

    with holding(await asked("a"), 100 * LONG):  # a larger one when there is no other
        pass


async def test_an_answer_that_breaks_off_is_held_no_longer(asked: Any) -> None:
    for _ in range(10):
        with contextlib.suppress(ConnectionError), holding(await asked("a"), LONG):
            raise ConnectionError


def test_an_answer_without_the_middleware_is_not_held() -> None:
    with holding({"type": "http"}, LONG):
        pass
