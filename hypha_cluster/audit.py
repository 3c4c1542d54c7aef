"""The audit log: who was let in or refused, who made or ended what; one JSON object a line."""

import json
import logging
from enum import StrEnum
from typing import Final

LOGGER: Final = "hypha_cluster.audit"
_log = logging.getLogger(LOGGER)


class Event(StrEnum):
    """What happened."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    LOGGED_IN = "logged in"
    LOGIN_FAILED = "login failed"
    TOKEN_MADE = "token made"
    REVOKED = "revoked"
    REVOCATION_LEARNED = "revocation learned"  # from another gateway, or from a command
    LIFTED = "revocation lifted"
    WORKSPACE_MADE = "workspace made"
    WORKSPACE_CHANGED = "workspace changed"
    WORKSPACE_OVERWRITTEN = "workspace overwritten"
    LIMIT_HIT = "limit hit"


def note(event: Event, **about: object) -> None:
    """Say what happened, and what it is about: names, never a secret."""
    if _log.isEnabledFor(logging.INFO):
        _log.info("%s", json.dumps({"event": event, **about}, default=str))


def switch(*, on: bool) -> None:
    """Switch the audit log on or off."""
    _log.setLevel(logging.INFO if on else logging.CRITICAL + 1)
