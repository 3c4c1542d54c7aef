"""Bounds attempts at what costs the hub something, or at what could be guessed."""

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import TooMany
from hypha_cluster.registry.logins import Attempts


class LoginAttempts:
    """Bounds the logins that begin at one address, and the tokens reported that are refused.

    source: the address for which somebody counts; if it is empty, nothing is counted.
    """

    def __init__(self, begun: Attempts, reports: Attempts) -> None:
        self._begun = begun
        self._reports = reports

    async def begin(self, source: str) -> None:
        """A program begins a login; TooMany."""
        if source:
            await check(self._begun, f"login {source}", "logins begun at this address")
            await self._begun.count(f"login {source}")

    async def check_reports(self, key: str, source: str) -> None:
        """TooMany when too many tokens were refused for this login, or from there."""
        for what in _named(key, source):
            await check(self._reports, what, "tokens that are not valid")

    async def refuse_report(self, key: str, source: str) -> None:
        """Count a token that was refused."""
        for what in _named(key, source):
            await self._reports.count(what)


def _named(key: str, source: str) -> list[str]:
    return [f"report {key}", *([f"report from {source}"] if source else [])]


async def check(attempts: Attempts, what: str, many: str) -> None:
    """Raise TooMany, with when to try again, if there were too many. many: of what, in words."""
    if seconds := await attempts.left_out(what):
        audit.note(Event.LIMIT_HIT, limit=many, subject=what)
        minutes = max(1, round(seconds / 60))
        raise TooMany(f"Too many {many}; try again in {minutes} minutes.", seconds)
