from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, CallTimeout
from hypha_cluster.features.launcher.probes import LIVENESS, Probe


def test_a_probe_has_defaults() -> None:
    probe = Probe.of({LIVENESS: {"exec": "is_well"}}, LIVENESS)

    assert probe == Probe("is_well", 0.0, 10.0, 1, 3, 5.0)
    assert Probe.of({}, LIVENESS) is None


@pytest.mark.parametrize(
    "about",
    [5, {}, {"exec": 5}, {"exec": "a", "timeout": "1"}, {"exec": "a", "timeout": True}],
)
def test_a_probe_that_makes_no_sense_is_refused(about: object) -> None:
    with pytest.raises(BadRequest):
        Probe.of({LIVENESS: about}, LIVENESS)


class Calls:
    """Answers what it is given, or raises it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    async def call(self, target: str, method: str, args: list[Any]) -> Any:
        self.asked.append((target, method))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "is_well"), [(True, True), (1, True), (False, False), (CallTimeout("late"), False)]
)
async def test_only_yes_is_yes(answer: Any, is_well: bool) -> None:
    calls: Any = Calls(answer)
    probe = Probe("default.is_well".rpartition(".")[2], 0, 1, 1, 1, 1)

    assert await probe.ask(calls, "ws/app") is is_well
    assert calls.asked == [("ws/app", "services.default.is_well")]
