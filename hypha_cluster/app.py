"""Wires one node together: Redis below, the relay in the middle, HTTP on top."""

import contextlib
import secrets
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router as Routes

from hypha_cluster import __version__, log_fields
from hypha_cluster.clients.expulsion import Expulsion
from hypha_cluster.clients.life import ClientLife
from hypha_cluster.config import Config
from hypha_cluster.errors import HubError, StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.features.feature import Features
from hypha_cluster.hub.manager.tokens import issue_reconnection
from hypha_cluster.hub.quotas import Quotas, keep_counting
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.metrics import Counts, redis_readings
from hypha_cluster.node import Node
from hypha_cluster.prometheus import node_registry
from hypha_cluster.registry.last_uses import LastUses
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.tracing import NullTracer, Tracer
from hypha_cluster.signing import open_tokens
from hypha_cluster.supervision import Supervisor, Tasks
from hypha_cluster.web.assets.routes import AssetsApi
from hypha_cluster.web.bodies import Bodies, Room
from hypha_cluster.web.by_name import ByName
from hypha_cluster.web.health import PROBES, HealthApi
from hypha_cluster.web.middleware.asking import CountRequests
from hypha_cluster.web.middleware.error_pages import ErrorPages
from hypha_cluster.web.middleware.failures import handlers
from hypha_cluster.web.middleware.slashes import lead_by_slashes
from hypha_cluster.web.middleware.stack import origins, stack
from hypha_cluster.web.old_addresses import OldAddresses
from hypha_cluster.web.openapi.routes import OpenApi
from hypha_cluster.web.origins import CheckOrigins, Origins
from hypha_cluster.web.pages import PagesApi
from hypha_cluster.web.posting import Posting
from hypha_cluster.web.reception import Reception
from hypha_cluster.web.services import ServicesApi
from hypha_cluster.web.sse import SseApi, Terms
from hypha_cluster.web.stats import StatsApi
from hypha_cluster.web.websocket import WebSocketApi
from hypha_cluster.wiring import (
    Chosen,
    Frames,
    Hub,
    Links,
    Means,
    Site,
    Stores,
    open_clients,
    open_features,
    open_frames,
    open_hub,
    open_links,
    open_means,
    open_node,
    open_stores,
)


def create_app(config: Config, features: Chosen | None = None, *, inner_url: str = "") -> Starlette:
    """The application of one node; its lifespan starts and stops the node.

    features: which, with their settings; by default all, with their defaults. inner_url: as in
    Grounds.
    """
    chosen = [(feature, feature.Settings()) for feature in all_features()]
    chosen = chosen if features is None else list(features)
    name = config.node_name or f"gateway-{secrets.token_hex(4)}"
    counts = Counts()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        supervisor = Supervisor(counts.task_failures)
        tracer = _tracer(config, app)
        site = Site(config, name, inner_url, counts, tracer, supervisor, chosen, Room())
        async with _running(site, app):
            yield

    @contextlib.asynccontextmanager
    async def traced_lifespan(app: Starlette) -> AsyncIterator[None]:
        from hypha_cluster.telemetry import open_tracer

        async with open_tracer(name) as app.state.tracer, lifespan(app):
            yield

    app = Starlette(
        lifespan=traced_lifespan if config.tracing else lifespan,
        exception_handlers=handlers(
            origins(config.allow_origins), ErrorPages(config.public_base_url, config.base_path)
        ),
        middleware=stack(
            counts,
            config.allow_origins,
            config.base_path,
            config.trusted_proxies,
            tracing=config.tracing,
        ),
    )
    lead_by_slashes(app.router)
    return app


@contextlib.asynccontextmanager
async def _running(site: Site, app: Starlette) -> AsyncIterator[None]:
    log_fields.node.set(site.name)
    config, links = site.config, open_links(site)
    store = open_stores(site, links)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(links.redis.aclose)
        try:
            await links.redis.start()
            await _reset(config, links, store)
            tokens, uses = await _tokens(site, links)
            stack.push_async_callback(tokens.stop)
            relay = open_frames(site, links)
            means = open_means(site, links, store, relay, tokens)
            features = open_features(site, links, store, means)
            hub = open_hub(site, store, relay, means, features)
            clients = open_clients(site, links, store, relay, means, hub)
            await stack.enter_async_context(
                _expelling(site, store, relay, means, clients.parts.life)
            )
            node = open_node(site, links, store, relay, clients)
            stack.push_async_callback(node.stop)
            await node.start(
                address=config.node_url, public_url=config.public_base_url, version=__version__
            )
        except HubError as error:
            raise StartupError(str(error)) from error
        jobs = _counting(site, means.quotas, uses)
        for part in (hub.client, hub.rights_queue, jobs, clients.parts.life):
            stack.push_async_callback(part.stop)
        app.state.node, app.state.features = node, features
        entrances = _entrances(site, store, relay, means, hub, clients.parts.life)
        routes = _routes(site, store, hub, entrances, _health(links, node), features)
        _check_requests(app.router, means.quotas, config)
        app.router.routes.extend(_everywhere(routes, features, config.base_path))
        await stack.enter_async_context(features.running())
        yield


def _check_requests(router: Routes, quotas: Quotas, config: Config) -> None:
    """Refuse requests of pages of other origins, and more than an address may make.

    All requests count but probes, and event streams, which count as admissions: a browser does not
    ask again for a stream that was refused once.
    """
    free = {base + path for base in ("", config.base_path) for path in (*PROBES, "/sse")}
    checked = CheckOrigins(router.middleware_stack, _origins(config), config.base_path)
    router.middleware_stack = CountRequests(checked, quotas, free)


def _origins(config: Config) -> Origins:
    return Origins(config.allow_origins, config.public_base_url)


def _tracer(config: Config, app: Starlette) -> Tracer:
    if not config.tracing:
        return NullTracer()
    from hypha_cluster.relay.spans import CallTracer

    return CallTracer(app.state.tracer)


async def _reset(config: Config, links: Links, store: Stores) -> None:
    """Forget everything of this cluster, unless others are using it."""
    if not config.reset_redis:
        return
    if alive := [node.name for node in await store.nodes.alive()]:
        raise StartupError(f"--reset-redis refuses: {', '.join(alive)} are running on this Redis.")
    async for key in links.redis.keys_like(links.keys.everything()):
        if links.keys.owns(key):
            await links.redis.delete(key)


def _counting(site: Site, quotas: Quotas, uses: LastUses) -> Tasks:
    """Count what is used, for as long as the node is up."""
    tasks = keep_counting(quotas, site.supervisor)
    tasks.keep("last-uses", uses.run)
    return tasks


async def _tokens(site: Site, links: Links) -> tuple[Tokens, LastUses]:
    config = site.config
    openid = OpenIdKeys(config.token_issuer, site.supervisor) if config.token_issuer else None
    uses = LastUses(links.redis, links.keys)
    return await open_tokens(config, links.redis, links.keys, openid, uses.note), uses


@contextlib.asynccontextmanager
async def _expelling(
    site: Site, store: Stores, relay: Frames, means: Means, life: ClientLife
) -> AsyncIterator[None]:
    """Read what is revoked before anybody is let in, and go on reading it."""
    await store.revocations.load()
    is_over = means.instance_pages.is_over
    expulsion = Expulsion(store.revocations, relay.connections, life, site.supervisor, is_over)
    expulsion.start()
    try:
        yield
    finally:
        await expulsion.stop()


def _health(links: Links, node: Node) -> HealthApi:
    return HealthApi(node.unready_because, node.dead_because, _metrics(links, node))


def _metrics(links: Links, node: Node) -> CollectorRegistry:
    return node_registry(
        {
            **node.readings(),
            **redis_readings(store=links.redis.meter, bus=links.publisher.meter),
            "store_operations": lambda: links.redis.operations,
        }
    )


def _everywhere(routes: list[BaseRoute], features: Features, base_path: str) -> list[BaseRoute]:
    """The routes, after those that features put before them; again under the base path, if any."""
    routes = [*features.first_routes(routes), *routes]
    if not base_path:
        return routes
    return [Mount(base_path, app=lead_by_slashes(Routes(routes))), *routes]


def _entrances(
    site: Site, store: Stores, relay: Frames, means: Means, hub: Hub, life: ClientLife
) -> tuple[WebSocketApi, SseApi]:
    """The two ways in for clients: WebSockets and event streams."""
    config, supervisor = site.config, site.supervisor
    reception = Reception(
        means.gatekeeper, life, hub.intake, hub.services.recover, means.quotas, supervisor
    )
    posting = Posting(
        store.streams, relay.posts, config.max_frame_size, site.room, site.counts, supervisor
    )

    def make_token(connection: Connection) -> str:
        return issue_reconnection(means.tokens, connection.attachment)

    terms = Terms(config.public_base_url, config.reconnection_token_lifetime)
    return (
        WebSocketApi(reception, config.public_base_url, supervisor, _origins(config)),
        SseApi(reception, posting, store.streams, make_token, terms, supervisor),
    )


def _routes(
    site: Site,
    store: Stores,
    hub: Hub,
    entrances: tuple[WebSocketApi, SseApi],
    health: HealthApi,
    features: Features,
) -> list[BaseRoute]:
    (websocket, sse), lookup = entrances, hub.lookups.lookup
    directory, visits = hub.lookups.directory, hub.lookups.visits
    bodies = Bodies(site.room, site.config.max_message_size)
    services = ServicesApi(lookup, store.workspaces, directory, visits, store.revocations, bodies)
    others = [
        *sse.routes(),
        *OldAddresses(services, lookup, store.workspaces).routes(),
        *services.routes(),
        *OpenApi(lookup, directory, visits).routes(),
        *health.routes(),
        *AssetsApi().routes(),
        *StatsApi(lookup, store.nodes, store.workspaces).routes(),
        *features.routes(hub.lookups),
        *PagesApi().routes(),
    ]
    # What is asked for most comes first; no other route has paths like the first two.
    short_way = ByName("/{workspace}/apps/{service}", others)
    return [*websocket.routes(), services.call_route(), short_way, *others]
