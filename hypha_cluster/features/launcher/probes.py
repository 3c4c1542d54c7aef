"""Probes: functions of an app by which it says whether it is ready, and whether it is well.

The gateways take turns in asking; through Redis, all of them know the result.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from hypha_cluster.errors import BadRequest, HubError
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import Instance, State
from hypha_cluster.registry.instance_probes import InstanceProbes, ProbeTurn
from hypha_cluster.registry.instances import LEASE, REMEMBERED, Instances
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

READINESS: Final = "readiness_probe"
LIVENESS: Final = "liveness_probe"
PROBES: Final = (READINESS, LIVENESS)
_RESTARTS: Final = 10  # in a row, by failed probes; then an instance has failed
_RECOVERED: Final = 600.0  # seconds of running, after which earlier restarts do not count
_LONGEST: Final = 3_600.0  # seconds
# Within this time a runner learns that it has to close the page; no other one opens it before.
_RESTART: Final = LEASE / 2  # seconds


@dataclass(frozen=True, slots=True)
class Probe:
    """How an app is asked. function: of its default service; times in seconds."""

    function: str
    delay: float
    period: float
    successes: int
    failures: int
    patience: float

    @classmethod
    def of(cls, config: Mapping[str, Any], kind: str) -> Self | None:
        """The probe that a config names; BadRequest when it makes no sense."""
        about = config.get(kind)
        if about is None:
            return None
        if not isinstance(about, dict) or not isinstance(about.get("exec"), str):
            raise BadRequest(f"{kind!r} of an app is a dict; its `exec` names a function.")
        return cls(
            function=about["exec"].rpartition(".")[2],
            delay=_number(about, "initial_delay_seconds", 0, least=0.0),
            period=_number(about, "period_seconds", 10, least=0.1),
            successes=int(_number(about, "success_threshold", 1, least=1.0)),
            failures=int(_number(about, "failure_threshold", 3, least=1.0)),
            patience=_number(about, "timeout", 5, least=0.1),
        )

    async def ask(self, calls: HubCalls, address: str) -> bool:
        """Whether the app says yes in time."""
        try:
            async with asyncio.timeout(self.patience):
                return bool(await calls.call(address, f"services.default.{self.function}", []))
        except (HubError, TimeoutError):
            return False


def _number(about: Mapping[str, Any], name: str, default: float, *, least: float) -> float:
    value = about.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise BadRequest(f"{name!r} of a probe is a number, not {shown(value)}.")
    return min(max(float(value), least), _LONGEST)


class Probes:
    """Asks the apps that are due; the gateways take turns."""

    def __init__(
        self,
        apps: Apps,
        instances: Instances,
        turns: InstanceProbes,
        calls: HubCalls,
        supervisor: Supervisor,
        counts: Counts,
    ) -> None:
        self._tasks = Tasks(supervisor)
        self._apps = apps
        self._instances = instances
        self._turns = turns
        self._calls = calls
        self._failed = counts.app_failed_probes

    async def until_ready(self, app: App, address: str) -> None:
        """Return when the readiness probe has said yes often enough."""
        probe = Probe.of(app.probes, READINESS)
        if probe is None:
            return
        await asyncio.sleep(probe.delay)
        yes = 0
        while True:
            is_ready = await probe.ask(self._calls, address)
            yes = yes + 1 if is_ready else 0
            self._failed["readiness"] += not is_ready
            if yes >= probe.successes:
                return
            await asyncio.sleep(probe.period)

    async def look(self) -> None:
        """Ask whoever is due; to be called now and then."""
        for turn in await self._turns.due():
            self._tasks.spawn("probe", self._look_after(turn), detail=turn.address)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _look_after(self, turn: ProbeTurn) -> None:
        instance = await self._instances.find(turn.address)
        app = await self._apps.find(instance.workspace, instance.app) if instance else None
        probe = Probe.of(app.probes, LIVENESS) if app else None
        if instance is None or probe is None:
            return
        is_well = await probe.ask(self._calls, turn.address)
        self._failed["liveness"] += not is_well
        failures = await self._turns.note(turn, is_well=is_well, forgiven_after=_RECOVERED)
        if failures is not None and failures >= probe.failures:
            await self._restart(instance, failures)

    async def _restart(self, instance: Instance, failures: int) -> None:
        """Have its page closed, and another one opened."""
        many = instance.probe_restarts + 1
        reason = f"Its liveness probe has failed {failures} times."
        state, due = State.BACKOFF, _RESTART
        if many > _RESTARTS:
            state, due, reason = State.FAILED, REMEMBERED, f"{reason} It was restarted in vain."
        _log.info("%s is restarted, for its liveness probe fails.", instance.address)
        await self._instances.change(
            instance.address,
            frozenset((State.RUNNING,)),
            state,
            due=due,
            epoch=instance.epoch,
            reason=reason,
            runner="",
            probe_failures="0",
            probe_restarts=str(many),
            restarts=str(instance.restarts + 1),
        )
