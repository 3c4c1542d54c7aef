"""What a command is about: a cluster, by its Redis, or a hub, by its address."""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import msgpack

from hypha_cluster.config import Config
from hypha_cluster.errors import CommandFailed, HubError, StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.serving.embedded import running_store
from hypha_cluster.settings import CLIENT_VARIABLES
from hypha_cluster.signing import open_tokens
from hypha_cluster.web.answers import DESCRIBED
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import JSON

FLAGS: Final[ContextVar[Sequence[str]]] = ContextVar("flags", default=())
_ADDRESS: Final = re.compile(
    r"https?://[^\s/?#\[\]]+(?:/[^\s?#]*)?|https?://\[[0-9a-fA-F:.]+\](?::\d+)?(?:/[^\s?#]*)?"
)
_TOKEN: Final = " (--token-file or HYPHA_TOKEN says who asks; `hypha-cluster token` makes a token)"
# By how the hub's words begin, else by the status: what would be right.
_ADVICE: Final = {
    "401": _TOKEN,
    "403": _TOKEN,
    "Workspace not found": " (`hypha-cluster workspaces` lists them, on the machine of the hub)",
    "Service not found": " (`hypha-cluster services WORKSPACE` lists those of a workspace)",
    "Not Found": " (is this the address of a hub? See --server-url)",
}
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
    return await open_tokens(target.config, target.redis, target.keys)


def server_url_of(given: str, config: Config) -> str:
    """Where the hub is: as the command was told, or the environment, or the settings."""
    url = given or os.environ.get(CLIENT_VARIABLES["server_url"]) or config.base_url
    if not _ADDRESS.fullmatch(url):
        what = "--server-url" if given else CLIENT_VARIABLES["server_url"]
        raise StartupError(
            f"{what}: write where the hub is, such as http://localhost:9000, not {url!r}"
        )
    return url.rstrip("/")


class Interrupted(CommandFailed):
    """An answer that broke off; whoever asks again may get the rest."""


class Hub:
    """A hub that is asked over HTTP, as a user or, without a token, as anybody."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self.url = server_url_of(url, hub_settings().node)
        name = CLIENT_VARIABLES["token"]
        given = os.environ.get(name, "").strip()
        self._token = read_token(token_file) if token_file else _checked(given, name)

    def ask(
        self, method: str, path: str, content: Any = None, *, patience: float = ANSWER_TIME
    ) -> Any:
        """What it answers, decoded; CommandFailed with its own words if it refuses.

        patience: seconds for which it may say nothing.
        """
        try:
            answer = httpx2.request(
                method, f"{self.url}/{path}", timeout=patience, **self._about(content)
            )
        except httpx2.HTTPError as error:
            raise CommandFailed(
                f"no hub answers at {self.url}: {error}; say by --server-url where it is"
            ) from None
        _check(answer)
        try:
            return _decoded(answer) if answer.content else None
        except ValueError:
            kind = answer.headers.get("content-type", "nothing that is known")
            raise CommandFailed(f"what answers at {self.url} is no hub: it sent {kind}") from None

    def lines(self, path: str, content: Any, *, patience: float) -> Iterator[Any]:
        """A stream that it answers, line by line; CommandFailed if it refuses, or breaks off."""
        url = f"{self.url}/{path}"
        try:
            with httpx2.stream("POST", url, timeout=patience, **self._about(content)) as answer:
                if not answer.is_success:
                    answer.read()
                _check(answer)
                yield from map(json.loads, filter(None, answer.iter_lines()))
        except httpx2.HTTPError as error:
            raise Interrupted(f"the hub at {self.url} does not answer: {error}") from None

    def _about(self, content: Any) -> dict[str, Any]:
        """What a request says: as JSON, or as msgpack if there are bytes in it."""
        headers = {"Accept": DESCRIBED}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if content is None:
            return {"headers": headers}
        try:
            body, headers["Content-Type"] = json.dumps(content).encode(), JSON
        except TypeError:
            body, headers["Content-Type"] = msgpack.packb(content), MSGPACK
        return {"headers": headers, "content": body}


def _decoded(answer: httpx2.Response) -> Any:
    """Its value; what was asked in msgpack is answered so."""
    is_packed = answer.headers.get("content-type", "").startswith(MSGPACK)
    return msgpack.unpackb(answer.content) if is_packed else answer.json()


def _check(answer: httpx2.Response) -> None:
    if not answer.is_success:
        detail = _detail(answer)
        advice = _ADVICE.get(detail.partition(":")[0]) or _ADVICE.get(str(answer.status_code), "")
        raise CommandFailed(f"{answer.status_code}: {detail}{advice}")


def read_token(path: Path) -> str:
    """The token in a file; StartupError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise StartupError(f"--token-file: {path} cannot be read: {error.strerror}") from None
    if not text:
        raise StartupError(f"--token-file: {path} is empty; `hypha-cluster token` makes a token")
    return _checked(text, f"--token-file: {path}")


def _checked(token: str, where: str) -> str:
    """A token as a header takes it, one word of ASCII; what it is else is not repeated."""
    if token and (not token.isascii() or len(token.split()) != 1):
        raise StartupError(f"{where} does not hold exactly one token")
    return token


def _detail(answer: httpx2.Response) -> str:
    try:
        return str(_decoded(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
