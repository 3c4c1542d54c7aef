"""The manager's functions for tokens: generate, connection info (PROTOCOL 6.1, 7.3)."""

import time
from typing import Any, Final

from hypha_cluster.errors import BadRequest, PermissionDenied
from hypha_cluster.hub.manager.context import Context
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.protocol.limits import TOKEN_LIFETIME

_OPTIONS: Final = ("scopes", "expires_in", "email", "parent_client")


class TokenFunctions:
    """What clients call to let others in, and to come back themselves."""

    def __init__(self, tokens: Tokens, reconnection_lifetime: float) -> None:
        self._tokens = tokens
        self._reconnection_lifetime = reconnection_lifetime

    async def generate_token(self, context: Context, config: Any = None) -> str:
        """A token for somebody else: `scopes` are the workspaces that they may enter."""
        await context.require()
        config = config or {}
        if not isinstance(config, dict) or not config.keys() <= set(_OPTIONS):
            raise BadRequest(f"A token is made of {', '.join(_OPTIONS)}; not of {config!r}.")
        scopes = config.get("scopes") or [context.workspace]
        if not isinstance(scopes, list) or not all(isinstance(s, str) for s in scopes):
            raise BadRequest("'scopes' of a token is a list of workspace names.")
        for scope in scopes:
            await context.require(scope)
        _check_lifetime(config.get("expires_in"))
        _check_email(config.get("email"), context)
        return self._tokens.issue_child(context.identity, {**config, "scopes": scopes})

    async def get_connection_info(self, context: Context) -> dict[str, Any]:
        """Who and where the caller is, and how it comes back (PROTOCOL 6.1)."""
        attachment, connection = context.connection.attachment, context.connection
        connection.refreshed_at = time.monotonic()
        token = self._tokens.issue_reconnection(
            attachment.identity, attachment.workspace.name, attachment.client
        )
        return {
            "workspace": attachment.workspace.name,
            "client_id": attachment.client,
            "user_info": attachment.identity.to_wire(),
            "reconnection_token": token,
            "reconnection_expires_in": connection.refresh_after or self._reconnection_lifetime,
            "public_base_url": connection.base_url,
            "local_base_url": connection.base_url,
        }


def _check_lifetime(seconds: object) -> None:
    if seconds is None:
        return
    if type(seconds) not in (int, float) or not 0 < seconds <= TOKEN_LIFETIME:  # type: ignore[operator]
        raise BadRequest(f"'expires_in' of a token is a number of seconds, not {seconds!r}.")


def _check_email(email: object, context: Context) -> None:
    """A service may trust the e-mail address of its caller, so nobody may make one up."""
    identity = context.identity
    if email not in (None, identity.email) and "admin" not in identity.roles:
        raise PermissionDenied("'email' of a token can only be your own; leave it out.")
