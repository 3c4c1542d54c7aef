"""What a command is about: a cluster, by its Redis, or a hub, by its address."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from hypha_cluster.config import Config
from hypha_cluster.errors import CommandFailed, HubError, StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.registry.secret import shared_secret
from hypha_cluster.serving.embedded import running_store
from hypha_cluster.settings import CLIENT_VARIABLES

FLAGS: Final[ContextVar[Sequence[str]]] = ContextVar("flags", default=())
ANSWER_TIME: Final = 60.0  # seconds; the hub itself ends a call sooner


def hub_settings() -> HubSettings:
    """What the flags of the hub and the environment say."""
    return HubSettings.load(FLAGS.get())


class Cluster(NamedTuple):
    """A cluster, as its Redis knows it."""

    config: Config
    redis: RedisClient
    keys: Keys


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Meanwhile its Redis is open; StartupError when there is none."""
    config = hub_settings().node
    url = config.redis_url or running_store(config.data_dir)
    redis = open_redis(url, config.relay_timeout)
    try:
        await redis.start()
        yield Cluster(config, redis, Keys(config.redis_prefix))
    except HubError as error:
        raise StartupError(str(error)) from error
    finally:
        await redis.aclose()


async def tokens_of(target: Cluster) -> Tokens:
    """What makes and verifies tokens as the gateways of a cluster do."""
    config = target.config
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    secret = config.jwt_secret or await shared_secret(target.redis, target.keys)
    return Tokens(secret, settings)


def server_url_of(given: str, config: Config) -> str:
    """Where the hub is: as the command was told, or the environment, or the settings."""
    url = given or os.environ.get(CLIENT_VARIABLES["server_url"]) or config.base_url
    return url.rstrip("/")


class Hub:
    """A hub that is asked over HTTP, as a user or, without a token, as anybody."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self.url = server_url_of(url, hub_settings().node)
        token = os.environ.get(CLIENT_VARIABLES["token"], "")
        self._token = read_token(token_file) if token_file else token

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """What it answers, decoded; CommandFailed with its own words if it refuses."""
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = httpx2.request(
                method, f"{self.url}/{path}", json=content, headers=headers, timeout=ANSWER_TIME
            )
        except httpx2.HTTPError as error:
            raise CommandFailed(
                f"no hub answers at {self.url}: {error}; say by --server-url where it is"
            ) from None
        if not answer.is_success:
            raise CommandFailed(f"{answer.status_code}: {_detail(answer)}")
        return answer.json() if answer.content else None


def read_token(path: Path) -> str:
    """The token in a file; StartupError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StartupError(f"--token-file: {path} cannot be read: {error.strerror}") from None


def _detail(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
