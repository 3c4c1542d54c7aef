"""The middleware of the hub, outermost first."""

from collections.abc import Iterator
from typing import Any

from starlette.middleware import Middleware

from hypha_cluster.errors import StartupError
from hypha_cluster.metrics import Counts
from hypha_cluster.web.middleware.compression import Compress
from hypha_cluster.web.middleware.counting import CountAnswers
from hypha_cluster.web.middleware.cross_origin import CrossOrigin
from hypha_cluster.web.middleware.forwarded import PRIVATE, Forwarded, networks
from hypha_cluster.web.middleware.holding import HoldAnswers
from hypha_cluster.web.middleware.own_headers import OwnHeaders
from hypha_cluster.web.middleware.request_ids import HEADER, RequestIds


def stack(
    counts: Counts,
    allow_origins: str,
    base_path: str,
    trusted_proxies: str = PRIVATE,
    *,
    tracing: bool,
) -> list[Middleware]:
    """What a request passes; allow_origins: those whose pages may call, with commas, or `*`."""
    return [
        Middleware(Forwarded, trusted=networks(trusted_proxies)),
        Middleware(RequestIds),
        *(_tracing(base_path) if tracing else ()),
        Middleware(CountAnswers, counts=counts),
        Middleware(CrossOrigin, **origins(allow_origins)),
        Middleware(Compress),
        Middleware(OwnHeaders),
        Middleware(HoldAnswers),
    ]


def _tracing(base_path: str) -> Iterator[Middleware]:
    """The middleware that traces requests; it needs packages that nothing else needs."""
    try:
        from hypha_cluster.web.middleware.tracing import TraceRequests
    except ImportError as error:
        raise StartupError(
            f"tracing needs more packages: pip install 'hypha-cluster[tracing]' ({error})"
        ) from None
    yield Middleware(TraceRequests, base_path=base_path)


def origins(allowed: str) -> dict[str, Any]:
    """Origins that may call; `*` mirrors whatever asks, since credentials are in no cookie."""
    options = {
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "allow_credentials": True,
        "allow_private_network": True,  # for a page of the internet that uses a hub on this machine
        "expose_headers": [HEADER],
    }
    if allowed.strip() == "*":
        return {**options, "allow_origin_regex": ".*"}
    return {**options, "allow_origins": [origin.strip() for origin in allowed.split(",")]}
