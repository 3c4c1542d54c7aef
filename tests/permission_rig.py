"""Users of a hub whose secret the tests know, with the tokens that they have."""

import secrets

from hypha_cluster.config import Config
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Tokens, TokenSettings

SECRET = secrets.token_hex()


def tokens_of(secret: str = SECRET) -> Tokens:
    """What makes tokens as the gateways do that have this secret."""
    config = Config()
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    return Tokens(secret, settings)


def token_of(identity: Identity) -> str:
    return tokens_of().issue(identity)
