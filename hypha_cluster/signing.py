"""The tokens of a cluster, by its settings: commands make them just as gateways do."""

from collections.abc import Callable

from hypha_cluster.config import Config
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.secret import shared_secret


async def open_tokens(
    config: Config,
    redis: RedisClient,
    keys: Keys,
    openid: OpenIdKeys | None = None,
    on_use: Callable[[Identity], None] = lambda _: None,
) -> Tokens:
    """What makes and verifies tokens; openid and on_use: as for `Tokens`."""
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    secret = config.jwt_secret or await shared_secret(redis, keys)
    return Tokens(secret, settings, openid, on_use)
