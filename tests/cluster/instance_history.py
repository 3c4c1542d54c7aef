"""Whether what became of the instances of apps can have been, if the hub keeps its promises.

Pure: steps as Redis has them (registry/instance_history.py), the heartbeats of pages as a client
got them, and what came of requests to launch. One clock is behind all times, that of the machine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from hypha_cluster.registry.instance_history import Step

# State → those that may come next; docs/apps.md has the table. An instance is asked for anew when
# it is over.
ARROWS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(("pending",)),
    "pending": frozenset(("starting", "stopped", "failed")),
    "starting": frozenset(("starting", "running", "pending", "backoff", "stopping", "failed")),
    "running": frozenset(("pending", "backoff", "stopping", "failed")),
    "backoff": frozenset(("starting", "stopped", "failed")),
    "stopping": frozenset(("stopped", "failed")),
    "stopped": frozenset(("pending",)),
    "failed": frozenset(("pending",)),
}
OVER: Final = frozenset(("stopped", "failed"))
HELD: Final = frozenset(("starting", "running", "stopping"))
TOLERANCE: Final = 0.05  # seconds from when a frame is taken at the hub until it is with its target


class Beat(NamedTuple):
    """A page was alive: what it sent went through the hub. page: a name that it has made up."""

    at: float
    instance: str
    page: str


class Launch(NamedTuple):
    """Somebody asked for an app. answers: the addresses of the instances that it got."""

    name: str
    app: str
    asked: float
    answered: float
    answers: tuple[str, ...]


class Record(NamedTuple):
    """All that was seen. steps: by address. apps: address → the app that it is an instance of."""

    steps: Mapping[str, Sequence[Step]]
    apps: Mapping[str, str]
    beats: Sequence[Beat]
    launches: Sequence[Launch]

    def check(self) -> None:
        """Raise AssertionError with whatever a hub must not let happen."""
        wrong = [
            *(each for address in self.steps for each in self._wrong_of(address)),
            *self._two_at_a_time(),
            *self._wrongly_answered(),
        ]
        assert not wrong, f"{len(wrong)} wrong: {wrong[:10]}"

    def _wrong_of(self, address: str) -> Iterator[str]:
        steps = self.steps[address]
        start = Step(0.0, "", "", 0, "", "")
        for before, step in pairwise((start, *steps)):
            for wrong in _wrong_between(before, step):
                yield f"{address}: {wrong}"
        yield from _wrong_admissions(address, steps)
        beats = [beat for beat in self.beats if beat.instance == address]
        yield from _alive_after_the_fence(address, _admitted(steps), beats)

    def _two_at_a_time(self) -> Iterator[str]:
        """Whoever may share an instance is never given a second one beside it."""
        lives = sorted(
            (app, began, ended, address)
            for address, app in self.apps.items()
            for began, ended in _lives(self.steps[address])
        )
        for (app, _, ended, address), (next_app, began, _, other) in pairwise(lives):
            if app == next_app and began < ended:
                yield f"{address} and {other} are both instances of {app} at {began}"

    def _wrongly_answered(self) -> Iterator[str]:
        for launch in self.launches:
            if len(launch.answers) != 1:
                yield f"{launch.name} has {len(launch.answers)} answers: {launch.answers}"
            for address in launch.answers:
                if self.apps.get(address) != launch.app:
                    yield f"{launch.name} asked for {launch.app}, and got {address}"
                elif not _ran_between(self.steps[address], launch.asked, launch.answered):
                    yield f"{launch.name} got {address}, which did not run"


def _wrong_between(before: Step, step: Step) -> Iterator[str]:
    if step.before != before.after:
        yield f"it was {before.after!r}, and is said to have been {step.before!r}"
    if step.after not in ARROWS[step.before]:
        yield f"no arrow leads from {step.before!r} to {step.after!r}"
    is_taken = step.after == "starting" and step.before != "starting"
    if step.epoch != before.epoch + is_taken:
        yield f"epoch {step.epoch} follows epoch {before.epoch} where it is {step.after!r}"
    if step.before in HELD and step.runner not in (before.runner, ""):
        yield f"{step.runner} changes what {before.runner} holds"
    if is_taken and not step.runner:
        yield f"nobody has taken epoch {step.epoch}"
    if step.at < before.at:
        yield f"{step.after!r} at {step.at} is before {before.after!r}"


def _is_admission(step: Step) -> bool:
    return step.before == step.after == "starting"


def _admitted(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if _is_admission(step)]


def _wrong_admissions(address: str, steps: Sequence[Step]) -> Iterator[str]:
    epochs = [step.epoch for step in _admitted(steps)]
    for epoch in {*epochs}:
        if epochs.count(epoch) > 1:
            yield f"{address}: {epochs.count(epoch)} pages have come in as epoch {epoch}"
    for step in steps:
        if step.after == "running" and step.epoch not in epochs:
            yield f"{address}: epoch {step.epoch} runs, and no page of it has come in"


def _alive_after_the_fence(
    address: str, admitted: Sequence[Step], beats: Sequence[Beat]
) -> Iterator[str]:
    """A page is silent as soon as that of a later epoch is let in, and every epoch has one page."""
    pages: dict[int, str] = {}
    for page in dict.fromkeys(beat.page for beat in beats):
        times = [beat.at for beat in beats if beat.page == page]
        mine = [step for step in admitted if step.at <= min(times) + TOLERANCE]
        if not mine:
            yield f"{address}: the page {page} was heard, and never let in"
            continue
        epoch = mine[-1].epoch
        if epoch in pages:
            yield f"{address}: {pages[epoch]} and {page} are both pages of epoch {epoch}"
        pages[epoch] = page
        fence = next((step.at for step in admitted if step.epoch > epoch), None)
        if fence is not None and max(times) > fence + TOLERANCE:
            yield f"{address}: epoch {epoch} is heard {max(times) - fence:.3f} s after its fence"


def _lives(steps: Sequence[Step]) -> Iterator[tuple[float, float]]:
    """When it was wanted: from its first step, or the one after its end, to its end."""
    began = None
    for step in steps:
        if began is None:
            began = step.at
        if step.after in OVER:
            yield began, step.at
            began = None
    if began is not None:
        yield began, float("inf")


def _ran_between(steps: Sequence[Step], first: float, last: float) -> bool:
    """Whether it was running at some time then."""
    following = (*steps[1:], None)
    return any(
        step.after == "running"
        and step.at <= last + TOLERANCE
        and (later is None or later.at >= first - TOLERANCE)
        for step, later in zip(steps, following, strict=True)
    )
