"""The user of an app's page, as Redis keeps it: sealed, so that only a gateway can have written it.

Runners write into the records of instances and run pages of anybody. So what such a record says of
the user counts only if it is sealed with the secret that signs tokens.
"""

import hashlib
import hmac
import json
from typing import Final

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Identity, Origin

_PURPOSE: Final = b"pages of server apps"
_LENGTH: Final = 64  # hexadecimal digits


class PageSeals:
    """Seals and opens identities. secret: what the gateways share."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)

    def seal(self, user: Identity) -> str:
        """The user of a page, as text with its seal."""
        origin = user.origin or Origin("", 0.0)
        text = json.dumps({"user": user.to_wire(), "origin": origin})
        return self._mark(text.encode()) + text

    def open(self, sealed: bytes, workspace: str) -> Identity:
        """The user of a page; InvalidToken unless a gateway sealed it for just this workspace."""
        mark, text = sealed[:_LENGTH], sealed[_LENGTH:]
        if not hmac.compare_digest(mark, self._mark(text).encode()):
            raise InvalidToken("No gateway has said who this page is.")
        fields = json.loads(text)
        token, made_at, makers = fields["origin"]
        user = Identity.from_wire(fields["user"], Origin(token, made_at, tuple(makers)))
        if user.scopes != (workspace,):
            raise InvalidToken("This page is for another workspace.")
        return user

    def _mark(self, text: bytes) -> str:
        return hmac.digest(self._key, text, hashlib.sha256).hex()
