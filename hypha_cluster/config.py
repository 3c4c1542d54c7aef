"""Every setting of a node, with its default and unit; the only reader of flags and environment."""

import ipaddress
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hypha_cluster.errors import StartupError
from hypha_cluster.settings import (
    GIB,
    HOUR,
    KIB,
    MIB,
    MINUTE,
    YEAR,
    Setting,
    Value,
    complaints,
    read_environment,
    read_flags,
    setting,
    settings_of,
)

REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
IN_MEMORY = ":memory:"
# The topics of the settings below: the first setting of each topic, and its title.
TOPICS = {
    "host": "Where users reach it",
    "redis_url": "Redis, or the embedded store",
    "jwt_secret": "Tokens, and who may come",
    "reconnect_grace": "Clients that are away",
    "max_frame_size": "Sizes and times",
    "max_admissions": "Limits of one user or address",
    "lease_interval": "The gateways among each other",
    "log_level": "Logs, traces and the process",
}


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """The settings of one node."""

    host: str = setting("0.0.0.0", "Address to listen on.")
    port: int = setting(9000, "Port to listen on; 0 picks a free one.", within=(0, 65535))
    base_path: str = setting("", "Path under which everything is served, such as /hypha.")
    public_base_url: str = setting(
        "", "Address under which users reach the hub; empty = host, port and base path."
    )
    allow_origins: str = setting("*", "Origins that browsers may call from, with commas between.")
    trusted_proxies: str = setting(
        "private",
        "Networks of balancers whose X-Forwarded-… headers are believed, with commas between; "
        "private = this machine and private networks.",
    )
    certfile: str = setting("", "Certificate chain (PEM) for https; empty = plain http.")
    keyfile: str = setting("", "Private key (PEM) for https.")

    redis_url: str = setting(
        "",
        "Redis to share with the other gateways; empty = an embedded store.",
        also=("--redis-uri", "HYPHA_REDIS_URI"),
    )
    redis_prefix: str = setting("hypha", "What all keys begin with; one for each cluster.")
    reset_redis: bool = setting(False, "Delete everything of this cluster in Redis, then start.")
    data_dir: str = setting(
        "~/.local/state/hypha-cluster",
        f"Where the embedded store keeps its data; {IN_MEMORY} = keep nothing.",
    )
    workers: int = setting(1, "Gateway processes that share the port.", within=(1, 256))
    node_name: str = setting("", "Name of this gateway among the others; empty = made up.")

    jwt_secret: str = setting(
        "",
        "Key that signs tokens; empty = made once and shared through Redis.",
        secret=True,
        also=("JWT_SECRET",),
    )
    auth0_domain: str = setting(
        "",
        "Tenant of Auth0 whose access tokens are accepted; empty = nobody else's.",
        also=("AUTH0_DOMAIN",),
    )
    auth0_audience: str = setting(
        "https://imjoy.eu.auth0.com/api/v2/",
        "Audience that access tokens must have.",
        also=("AUTH0_AUDIENCE",),
    )
    auth0_issuer: str = setting(
        "https://imjoy.io/", "Issuer of the tokens that this hub makes.", also=("AUTH0_ISSUER",)
    )
    auth0_namespace: str = setting(
        "https://api.imjoy.io/", "Prefix of the claims email and roles.", also=("AUTH0_NAMESPACE",)
    )
    openid_issuer: str = setting(
        "",
        "OpenID Connect issuer whose access tokens are accepted; empty = that of --auth0-domain.",
    )
    anonymous: str = setting(
        "on",
        "What users without a token may do: all that others may, only call and log in, "
        "or only log in.",
        choices=("on", "call-only", "off"),
    )
    token_lifetime: float = setting(
        10800.0, "Life of a generated token.", "seconds", within=(MINUTE, 10 * YEAR)
    )
    reconnection_token_lifetime: float = setting(
        5 * HOUR,
        "Life of the token that a client comes back with.",
        "seconds",
        within=(MINUTE, 10 * YEAR),
    )
    reconnect_grace: float = setting(
        180.0,
        "How long a client whose connection broke keeps its place.",
        "seconds",
        within=(1.0, 24 * HOUR),
    )

    max_frame_size: int = setting(
        16 * MIB,
        "Largest WebSocket message accepted.",
        "bytes",
        within=(MIB, GIB),  # published clients send up to 1,000,000 bytes at once
    )
    max_message_size: int = setting(
        256 * MIB, "Largest message sent in chunks.", "bytes", within=(MIB, 16 * GIB)
    )
    outbox_size: int = setting(
        16 * MIB, "What may wait for one slow client.", "bytes", within=(KIB, GIB)
    )
    mailbox_size: int = setting(
        16 * MIB, "What may wait for a suspended client.", "bytes", within=(KIB, GIB)
    )
    mailbox_frames: int = setting(
        10000, "How many frames may wait for a suspended client.", within=(1, 1_000_000)
    )
    send_timeout: float = setting(
        30.0, "A client that takes nothing for this long is dropped.", "seconds", within=(1.0, HOUR)
    )
    ping_interval: float = setting(
        20.0, "Time between pings of a connection.", "seconds", within=(0.1, HOUR)
    )
    # Longer than programs compute: a client that is closed meanwhile spins, and never comes back.
    ping_timeout: float = setting(120.0, "How long a pong may take.", "seconds", within=(0.1, HOUR))
    relay_timeout: float = setting(
        5.0, "How long frames wait for a Redis that is away.", "seconds", within=(0.1, 5 * MINUTE)
    )
    call_timeout: float = setting(
        30.0, "How long a call that the hub makes may take.", "seconds", within=(0.1, 24 * HOUR)
    )

    max_admissions: int = setting(
        1200,
        "Connections that one user or address may open in a minute, on all gateways; 0 = no limit, "
        "here and below. Addresses of --trusted-proxies are not counted.",
        within=(0, 1_000_000_000),
    )
    max_connections: int = setting(
        5000, "Connections that one user or address may have.", within=(0, 1_000_000_000)
    )
    max_services: int = setting(
        20000,
        "Services that clients of one user or address may offer, of a kilobyte each on an average.",
        within=(0, 1_000_000_000),
    )
    max_workspaces: int = setting(
        1000, "Workspaces that one user or address may make in a day.", within=(0, 1_000_000_000)
    )
    max_frames: int = setting(
        50000,
        "Frames that one user or address may send in a second; then they are read more slowly.",
        within=(0, 1_000_000_000),
    )
    max_traffic: int = setting(
        256 * MIB,
        "What one user or address may send in a second; then they are read more slowly.",
        "bytes",
        within=(0, 1024 * GIB),
    )
    max_mail: int = setting(
        512 * MIB,
        "What one user or address may have put into mailboxes of suspended clients within "
        "--reconnect-grace.",
        "bytes",
        within=(0, 1024 * GIB),
    )
    max_requests: int = setting(
        2000, "HTTP requests of one user or address in a second.", within=(0, 1_000_000_000)
    )

    lease_interval: float = setting(
        1.0, "How often a gateway shows that it is there.", "seconds", within=(0.1, HOUR)
    )
    lease_ttl: float = setting(
        5.0, "A gateway that is silent this long is lost.", "seconds", within=(0.5, HOUR)
    )
    drain_delay: float = setting(
        2.0,
        "How long a stopping gateway goes on as before, for balancers to notice.",
        "seconds",
        within=(0.0, HOUR),
    )
    drain_time: float = setting(
        20.0,
        "Over how long a draining gateway parts with its clients; the last may take 16 s more.",
        "seconds",
        within=(0.0, 24 * HOUR),
    )

    log_level: str = setting(
        "info",
        "Least important message to log.",
        choices=("debug", "info", "warning", "error"),
        also=("--loglevel",),
    )
    log_format: str = setting("text", "Lines for people or for programs.", choices=("text", "json"))
    audit: bool = setting(
        False, "Log who was let in or refused, logged in, made or ended tokens and workspaces."
    )
    tracing: bool = setting(
        False, "Send OpenTelemetry traces; the standard OTEL_… variables say where to."
    )
    event_loop: str = setting(
        "auto", "Event loop; auto = uvloop if installed.", choices=("auto", "uvloop", "asyncio")
    )
    fast_websockets: bool = setting(True, "Serve HTTP/1.1 and WebSockets without Hypercorn.")

    def __post_init__(self) -> None:
        for complaint in self._complaints():
            raise StartupError(complaint)

    def _complaints(self) -> Iterator[str]:
        for about in self.settings():
            yield from complaints(about, getattr(self, about.name))
        yield from self._pair_complaints()
        yield from self._spelling_complaints()
        yield from self._network_complaints()

    def _pair_complaints(self) -> Iterator[str]:
        if bool(self.certfile) != bool(self.keyfile):
            yield "certfile and keyfile go together: give both or neither"
        if self.lease_interval >= self.lease_ttl:
            yield "lease_interval must be less than lease_ttl"
        if self.reconnect_grace > self.reconnection_token_lifetime:
            yield "reconnect_grace must be at most reconnection_token_lifetime"

    def _spelling_complaints(self) -> Iterator[str]:
        if not re.fullmatch(r"(/[^/?#\s]+)*", self.base_path):
            yield f"base_path must look like /hypha, not {self.base_path!r}"
        if not re.fullmatch(r"[\w.-]*", self.node_name, re.ASCII):
            yield f"node_name may have letters, digits, '.', '_' and '-', not {self.node_name!r}"
        if not re.fullmatch(r"[\w.:-]+", self.redis_prefix, re.ASCII):
            yield f"redis_prefix may have letters, digits, and .:_-, not {self.redis_prefix!r}"
        yield from redis_url_complaints(self.redis_url)
        for name in ("public_base_url", "openid_issuer"):
            yield from web_address_complaints(name, getattr(self, name))
        if re.search(r"[/\s]", self.auth0_domain):
            yield f"auth0_domain must look like hub.auth0.com, not {self.auth0_domain!r}"
        for origin in map(str.strip, self.allow_origins.split(",")):
            if not re.fullmatch(r"|\*|null|[a-z][a-z0-9+.-]*://[^/?#\s]+", origin):
                yield f"allow_origins must look like https://page.example, not {origin!r}"

    def _network_complaints(self) -> Iterator[str]:
        for network in map(str.strip, self.trusted_proxies.split(",")):
            if network not in ("", "private") and not _is_network(network):
                yield f"trusted_proxies must look like 192.0.2.0/24, not {network!r}"

    def __repr__(self) -> str:
        shown = ", ".join(f"{about.name}={value!r}" for about, value in self.shown())
        return f"Config({shown})"

    @property
    def base_url(self) -> str:
        """Where users reach the hub."""
        return self.public_base_url or self.local_url + self.base_path

    @property
    def token_issuer(self) -> str:
        """Whose access tokens are accepted beside the hub's own; empty = nobody's."""
        return self.openid_issuer or (f"https://{self.auth0_domain}/" if self.auth0_domain else "")

    @property
    def local_url(self) -> str:
        """Where this machine reaches the node, without the base path.

        `localhost`, as people and the documentation write it: a login at 127.0.0.1 is none at
        localhost.
        """
        return self._url("localhost" if self.is_open else self.host)

    @property
    def node_url(self) -> str:
        """Where other machines may reach the node: by this machine's own host name."""
        return self._url(socket.gethostname() if self.is_open else self.host)

    @property
    def is_open(self) -> bool:
        """Whether it listens on all addresses."""
        return self.host in ("", "0.0.0.0", "::")

    def _url(self, host: str) -> str:
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"{'https' if self.certfile else 'http'}://{host}:{self.port}"

    @classmethod
    def settings(cls) -> tuple[Setting, ...]:
        """All settings, in the order in which they are declared."""
        return settings_of(cls)

    @classmethod
    def load(cls, flags: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> "Config":
        """Read the node's own settings: flags first, then the environment, then the defaults."""
        given = {**read_environment(cls.settings(), environ), **read_flags(cls.settings(), flags)}
        return cls.of(given, environ)

    @classmethod
    def of(cls, given: Mapping[str, Value], environ: Mapping[str, str]) -> "Config":
        """Take the node's own settings out of what is given; the others have their defaults."""
        given = {about.name: given[about.name] for about in cls.settings() if about.name in given}
        if "data_dir" not in given and environ.get("XDG_STATE_HOME"):
            given["data_dir"] = os.path.join(environ["XDG_STATE_HOME"], "hypha-cluster")
        for name in given.keys() & {"base_path", "public_base_url"}:
            given[name] = str(given[name]).rstrip("/")
        return cls(**given)  # type: ignore[arg-type]  # cast by setting

    def shown(self) -> list[tuple[Setting, Value]]:
        """What is in force, fit to be printed: secrets are masked."""
        return [(about, masked(about, getattr(self, about.name))) for about in self.settings()]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def web_address_complaints(name: str, url: str) -> Iterator[str]:
    if url and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", url):
        like = re.sub(r"^(\w*:)?/*|[?#\s].*", "", url) or "hub.example"
        yield f"{name} must look like https://{like}, not {url!r}"


def redis_url_complaints(url: str) -> Iterator[str]:
    if not url:
        return
    known = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES or "://" not in url:
        yield f"redis_url {masked_url(url)!r} is not understood: it must begin with one of {known}"
    elif parts.scheme == "unix":
        if not parts.path.strip("/"):
            yield f"redis_url {masked_url(url)!r} names no socket: write unix:///path/to/socket"
    elif not parts.netloc.rpartition("@")[2]:
        yield f"redis_url {masked_url(url)!r} names no host"
    elif parts.scheme.endswith("+sentinel") and not parts.path.strip("/"):
        yield f"redis_url {masked_url(url)!r} names no service: write …://host:26379/service"


def masked_url(url: str) -> str:
    """The address without the password in it."""
    url = re.sub(r"(?<=://).*@", "***@", url)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", url)


def masked(about: Setting, value: Value) -> Value:
    """A value, fit to be printed."""
    if about.secret:
        return "***" if value else ""
    return masked_url(str(value)) if about.name == "redis_url" else value
