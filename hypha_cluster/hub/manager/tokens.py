"""The manager's functions for tokens: generate, connection info (protocol.md 6.1, 7.3)."""

from typing import Any, Final

from hypha_cluster.errors import BadRequest, PermissionDenied
from hypha_cluster.hub.context import Context
from hypha_cluster.identity.access import may_hand_on
from hypha_cluster.identity.tokens import Place, Tokens
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.clients import Attachment

_OPTIONS: Final = ("scopes", "expires_in", "email", "parent_client")


def issue_reconnection(tokens: Tokens, attachment: Attachment) -> str:
    """A token by which a client that is attached can come back."""
    place = Place(attachment.workspace.name, attachment.client, attachment.program)
    return tokens.issue_reconnection(attachment.identity, place)


class TokenFunctions:
    """What clients call to let others in, and to come back themselves."""

    def __init__(self, tokens: Tokens, reconnection_lifetime: float) -> None:
        self._tokens = tokens
        self._reconnection_lifetime = reconnection_lifetime

    async def generate_token(self, context: Context, config: Any = None) -> str:
        """A token for somebody else: `scopes` are the workspaces that they may enter."""
        config = config or {}
        if not isinstance(config, dict) or not config.keys() <= set(_OPTIONS):
            wrong = config.keys() - set(_OPTIONS) if isinstance(config, dict) else [config]
            raise BadRequest(
                f"A token is made of {', '.join(_OPTIONS)}; not of {shown(next(iter(wrong)))}."
            )
        scopes = config.get("scopes") or [context.workspace]
        if not isinstance(scopes, list) or not all(isinstance(s, str) for s in scopes):
            raise BadRequest("'scopes' of a token is a list of workspace names.")
        for scope in scopes:
            await self._require(context, scope)
        return self._tokens.issue_child(context.identity, {**config, "scopes": scopes})

    async def _require(self, context: Context, scope: str) -> None:
        await context.require(scope)
        identity = context.identity
        if identity.is_child and not may_hand_on(identity, await context.workspaces.get(scope)):
            given = ", ".join(map(repr, identity.scopes)) or "no workspace"
            raise PermissionDenied(
                f"Permission denied for workspace {scope}: your token is for {given}, and makes "
                "tokens for that only."
            )

    async def get_connection_info(self, context: Context) -> dict[str, Any]:
        """Who and where the caller is, and how it comes back (protocol.md 6.1)."""
        connection = context.attached()
        attachment = connection.attachment
        connection.refreshed()
        token = issue_reconnection(self._tokens, attachment)
        return {
            "workspace": attachment.workspace.name,
            "client_id": attachment.client,
            "user_info": attachment.identity.to_wire(),
            "reconnection_token": token,
            "reconnection_expires_in": connection.refresh_after or self._reconnection_lifetime,
            "public_base_url": connection.base_url,
            "local_base_url": connection.base_url,
        }
