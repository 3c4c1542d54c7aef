"""Wires one node together: Redis below, the relay in the middle, HTTP on top."""

import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router as Routes

from hypha_cluster import __version__, log_fields
from hypha_cluster.clients.drain import Drain, Work
from hypha_cluster.clients.events import Events
from hypha_cluster.clients.expulsion import Expulsion
from hypha_cluster.clients.handover import Handover
from hypha_cluster.clients.life import ClientLife, Records, Relay, Terms
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.presence import Presence, departure
from hypha_cluster.config import Config
from hypha_cluster.errors import HubError, StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.features.feature import Feature, Features, Grounds
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.manager.manager import manager_service
from hypha_cluster.hub.manager.services import ServiceFunctions
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.hub.manager.workspaces import WorkspaceFunctions
from hypha_cluster.hub.rights import Rights
from hypha_cluster.hub.services import HubServices
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.identity.access import Guests
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from hypha_cluster.links.client import RedisClient
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.urls import find_servers
from hypha_cluster.metrics import Counts, node_registry, redis_readings
from hypha_cluster.node import Clients, Cluster, Node, Terms as NodeTerms, Watched
from hypha_cluster.protocol.envelope import FrameReader
from hypha_cluster.protocol.limits import CLIENT_FRAME
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.mailboxes import Mailboxes
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.registry.secret import shared_secret
from hypha_cluster.registry.services import RecentlyFound, RecentServices, Services
from hypha_cluster.registry.unheard import Unheard
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import CHANGED, write_event
from hypha_cluster.relay.holding import Holding
from hypha_cluster.relay.intake import Intake, Onward
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.listener import RedisListener
from hypha_cluster.relay.pending import Deliveries, PendingCalls
from hypha_cluster.relay.publisher import Limits, RedisPublisher
from hypha_cluster.relay.tracing import NullTracer, Tracer
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.health import HealthApi
from hypha_cluster.web.lookup import Gatekeeper, Lookup
from hypha_cluster.web.middleware.failures import HANDLERS
from hypha_cluster.web.middleware.slashes import lead_by_slashes
from hypha_cluster.web.middleware.stack import stack
from hypha_cluster.web.pages import PagesApi
from hypha_cluster.web.services import ServicesApi
from hypha_cluster.web.stats import StatsApi
from hypha_cluster.web.websocket import WebSocketApi

_log = logging.getLogger(__name__)

# Features to switch on, each with its settings.
Chosen = Sequence[tuple[type[Feature], Any]]


@dataclass(frozen=True, slots=True)
class _Site:
    """What all parts of one node are told."""

    config: Config
    name: str
    counts: Counts
    tracer: Tracer
    supervisor: Supervisor
    features: Chosen
    room: Room


@dataclass(frozen=True, slots=True)
class _Links:
    """What leads to Redis, and what it is called there."""

    servers: Servers
    recovery: Recovery
    keys: Keys
    redis: RedisClient
    publisher: RedisPublisher
    unheard: Unheard


@dataclass(frozen=True, slots=True)
class _Store:
    """What one node has of the store."""

    recent: RecentlyFound
    registry: ClientRegistry
    services: Services
    mailboxes: Mailboxes
    public: PublicListing
    workspaces: Workspaces
    nodes: Nodes
    reaper: Reaper
    revocations: Revocations


@dataclass(frozen=True, slots=True)
class _Relay:
    """What one node has of the relay."""

    connections: Connections
    pending: PendingCalls
    deliveries: Deliveries
    ledger: Ledger
    delivery: Delivery
    reader: FrameReader


@dataclass(frozen=True, slots=True)
class _Hub:
    """The hub as a peer of its clients, on one node."""

    tokens: Tokens
    gatekeeper: Gatekeeper
    lookup: Lookup
    own: HubServices
    calls: HubCalls
    directory: Directory
    visits: Visits
    services: ServiceFunctions
    client: HubClient
    holding: Holding
    intake: Intake


@dataclass(frozen=True, slots=True)
class _Clients:
    """The clients of one node, and how they are heard on the bus."""

    listener: RedisListener
    parts: Clients


def create_app(config: Config, features: Chosen | None = None) -> Starlette:
    """The application of one node; its lifespan starts and stops the node.

    features: by default all that are there, as they are by default.
    """
    chosen = [(feature, feature.Settings()) for feature in all_features()]
    chosen = chosen if features is None else list(features)
    name = config.node_name or f"gateway-{secrets.token_hex(4)}"
    counts = Counts()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _running(config, chosen, name, app, counts):
            yield

    @contextlib.asynccontextmanager
    async def traced_lifespan(app: Starlette) -> AsyncIterator[None]:
        from hypha_cluster.telemetry import open_tracer

        async with open_tracer(name) as app.state.tracer, lifespan(app):
            yield

    app = Starlette(
        lifespan=traced_lifespan if config.tracing else lifespan,
        exception_handlers=HANDLERS,
        middleware=stack(counts, config.allow_origins, config.base_path, tracing=config.tracing),
    )
    lead_by_slashes(app.router)
    return app


@contextlib.asynccontextmanager
async def _running(
    config: Config, chosen: Chosen, name: str, app: Starlette, counts: Counts
) -> AsyncIterator[None]:
    log_fields.node.set(name)
    site = _site(config, chosen, name, app, counts)
    links = _open_links(site)
    store = _open_store(site, links)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(links.redis.aclose)
        try:
            await links.redis.start()
            await _reset(config, links, store)
            tokens = await _tokens(site, links)
            stack.push_async_callback(tokens.stop)
            relay = _open_relay(site, links)
            hub = _open_hub(site, store, relay, tokens)
            clients = _open_clients(site, links, store, relay, hub)
            features = _open_features(site, links, store, hub)
            await stack.enter_async_context(_expelling(site, store, relay, clients.parts.life))
            node = _open_node(site, links, store, relay, clients)
            stack.push_async_callback(node.stop)
            await node.start(address=config.node_url, version=__version__)
        except HubError as error:
            raise StartupError(str(error)) from error
        stack.push_async_callback(hub.client.stop)
        stack.push_async_callback(hub.holding.stop)
        stack.push_async_callback(clients.parts.life.stop)
        app.state.node = node
        routes = _routes(site, store, hub, clients.parts.life, _health(links, node), features)
        app.router.routes.extend(routes)
        await stack.enter_async_context(features.running())
        _log.info("Gateway %s is up.", name)
        yield


def _site(config: Config, chosen: Chosen, name: str, app: Starlette, counts: Counts) -> _Site:
    supervisor = Supervisor(counts.task_failures)
    return _Site(config, name, counts, _tracer(config, app), supervisor, chosen, Room())


def _tracer(config: Config, app: Starlette) -> Tracer:
    if not config.tracing:
        return NullTracer()
    from hypha_cluster.relay.spans import CallTracer

    return CallTracer(app.state.tracer)


def _open_links(site: _Site) -> _Links:
    config = site.config
    servers = find_servers(config.redis_url, config.relay_timeout, site.supervisor)
    recovery, keys = Recovery(), Keys(config.redis_prefix)
    redis = open_redis(servers, config.relay_timeout, recovery)
    limits = Limits(config.mailbox_size, config.mailbox_frames, config.reconnect_grace)
    unheard = Unheard(redis, keys)
    publisher = RedisPublisher(servers, keys, site.name, limits, recovery, unheard.add)
    return _Links(servers, recovery, keys, redis, publisher, unheard)


def _open_store(site: _Site, links: _Links) -> _Store:
    config, redis, keys = site.config, links.redis, links.keys

    def on_departure(address: str) -> None:
        links.publisher.announce(departure(address))

    def on_change(workspace: str) -> None:
        links.publisher.announce(write_event(CHANGED, workspace))

    public, recent = PublicListing(redis, keys), RecentlyFound(on_change)
    registry = ClientRegistry(redis, keys, public, on_departure)
    services = Services(redis, keys, public, recent)
    mailboxes = Mailboxes(redis, keys, config.reconnect_grace)
    nodes = Nodes(redis, keys, ttl=config.lease_ttl, interval=config.lease_interval)
    reaper = Reaper(redis, keys, registry, nodes, links.unheard, config.reconnect_grace)
    workspaces = Workspaces(redis, keys)
    revocations = Revocations(redis, keys)
    return _Store(
        recent, registry, services, mailboxes, public, workspaces, nodes, reaper, revocations
    )


async def _reset(config: Config, links: _Links, store: _Store) -> None:
    """Forget everything of this cluster, unless others are using it."""
    if not config.reset_redis:
        return
    if alive := [node.name for node in await store.nodes.alive()]:
        raise StartupError(f"--reset-redis refuses: {', '.join(alive)} are running on this Redis.")
    async for key in links.redis.keys_like(links.keys.everything()):
        if links.keys.owns(key):
            await links.redis.delete(key)


async def _tokens(site: _Site, links: _Links) -> Tokens:
    config = site.config
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    secret = config.jwt_secret or await shared_secret(links.redis, links.keys)
    openid = OpenIdKeys(config.token_issuer, site.supervisor) if config.token_issuer else None
    return Tokens(secret, settings, openid)


def _open_relay(site: _Site, links: _Links) -> _Relay:
    config, counts = site.config, site.counts
    connections = Connections(config.outbox_size, config.send_timeout)
    # Reading more than any client sends would only cost time.
    reader = FrameReader(min(config.max_frame_size, CLIENT_FRAME))
    pending, deliveries = PendingCalls(counts.calls), Deliveries(reader)
    ledger = Ledger(pending, deliveries, site.tracer)
    delivery = Delivery(connections, links.publisher, ledger, deliveries, counts, reader)
    return _Relay(connections, pending, deliveries, ledger, delivery, reader)


def _open_hub(site: _Site, store: _Store, relay: _Relay, tokens: Tokens) -> _Hub:
    config = site.config
    calls = HubCalls(
        site.name,
        relay.delivery,
        site.tracer,
        config.call_timeout,
        site.supervisor,
        config.max_message_size,
    )

    def load(address: str) -> int:
        """How many calls from this node wait for a client."""
        return relay.pending.waiting_for(address) + calls.waiting_for(address)

    own = HubServices(relay.connections, store.workspaces)
    lately = RecentServices(store.services, store.recent)
    directory = Directory(store.services, lately, store.public, own, calls, load)
    services = ServiceFunctions(store.services, directory, calls)
    workspaces = WorkspaceFunctions(store.workspaces, store.registry, directory)
    own.add(
        manager_service(
            services, workspaces, TokenFunctions(tokens, config.reconnection_token_lifetime)
        )
    )
    client = HubClient(
        relay.delivery, calls, own, site.tracer, config.max_message_size, site.supervisor
    )
    holding = Holding(Rights(store.workspaces, directory), site.supervisor)
    onward = Onward(client, relay.delivery, relay.ledger)
    intake = Intake(site.name, onward, site.counts, relay.reader, holding)
    gatekeeper = Gatekeeper(
        tokens,
        store.revocations.book,
        store.workspaces,
        store.registry,
        Guests(site.config.anonymous),
    )
    visits = Visits(directory, own, calls)
    lookup = Lookup(gatekeeper, store.workspaces, visits, config.public_base_url)
    return _Hub(
        tokens, gatekeeper, lookup, own, calls, directory, visits, services, client, holding, intake
    )


def _open_clients(site: _Site, links: _Links, store: _Store, relay: _Relay, hub: _Hub) -> _Clients:
    config, counts = site.config, site.counts
    handover = Handover(site.name, links.publisher, relay.connections)
    mail = Mail(store.mailboxes, relay.connections, relay.delivery)
    grace = config.reconnect_grace
    presence = Presence(store.registry, store.services, links.publisher, counts, grace)
    events = Events(handover, relay.delivery, hub.client, store.recent, links.recovery, counts)
    listener = RedisListener(
        links.servers,
        links.keys,
        site.name,
        links.publisher,
        Receivers(relay.delivery.receive, hub.intake.receive_own, events.take, mail.collect_missed),
        links.recovery,
    )
    life = ClientLife(
        Records(store.registry, presence, mail, handover),
        Relay(listener, relay.connections, relay.delivery, relay.ledger, counts),
        hub.client,
        hub.calls,
        Terms(site.name, config.max_message_size),
        site.supervisor,
    )
    work = Work(relay.pending, relay.deliveries, hub.client, hub.calls)
    drain = Drain(life, relay.connections, work, site.supervisor)
    return _Clients(listener, Clients(life, mail, presence, drain))


@contextlib.asynccontextmanager
async def _expelling(
    site: _Site, store: _Store, relay: _Relay, life: ClientLife
) -> AsyncIterator[None]:
    """Know what is revoked before anybody is let in, and go on looking."""
    await store.revocations.load()
    expulsion = Expulsion(store.revocations, relay.connections, life, site.supervisor)
    expulsion.start()
    try:
        yield
    finally:
        await expulsion.stop()


def _open_node(site: _Site, links: _Links, store: _Store, relay: _Relay, clients: _Clients) -> Node:
    config = site.config
    terms = NodeTerms(
        site.name, config.lease_interval, config.lease_ttl, config.drain_delay, config.drain_time
    )
    watched = Watched(
        links.publisher,
        clients.listener,
        links.recovery,
        relay.connections,
        relay.pending,
        site.counts,
    )
    return Node(Cluster(store.nodes, store.reaper), watched, clients.parts, terms, site.supervisor)


def _health(links: _Links, node: Node) -> HealthApi:
    return HealthApi(node.unready_because, node.dead_because, _metrics(links, node))


def _metrics(links: _Links, node: Node) -> CollectorRegistry:
    return node_registry(
        {
            **node.readings(),
            **redis_readings(store=links.redis.meter, bus=links.publisher.meter),
            "store_operations": lambda: links.redis.operations,
        }
    )


def _open_features(site: _Site, links: _Links, store: _Store, hub: _Hub) -> Features:
    config = site.config
    grounds = Grounds(
        node=site.name,
        base_path=config.base_path,
        public_base_url=config.public_base_url,
        base_url=config.base_url,
        issuer=config.token_issuer,
        claims=config.auth0_namespace,
        max_message_size=config.max_message_size,
        directory=hub.directory,
        visits=hub.visits,
        calls=hub.calls,
        gatekeeper=hub.gatekeeper,
        lookup=hub.lookup,
        room=site.room,
        tokens=hub.tokens,
        workspaces=store.workspaces,
        revocations=store.revocations,
        redis=links.redis,
        keys=links.keys,
        supervisor=site.supervisor,
    )
    opened = [feature(settings, grounds) for feature, settings in site.features]
    features = Features(opened, site.supervisor)
    hub.own.add(*features.services())
    return features


def _routes(
    site: _Site,
    store: _Store,
    hub: _Hub,
    life: ClientLife,
    health: HealthApi,
    features: Features,
) -> list[BaseRoute]:
    config = site.config
    routes: list[BaseRoute] = [
        # First what is asked for most; no other route has paths like these.
        *WebSocketApi(
            hub.gatekeeper,
            life,
            hub.intake,
            hub.services.recover,
            config.public_base_url,
            site.supervisor,
        ).routes(),
        *ServicesApi(
            hub.lookup,
            store.workspaces,
            hub.directory,
            hub.visits,
            config.max_message_size,
            site.room,
        ).routes(),
        *health.routes(),
        *PagesApi().routes(),
        *StatsApi(hub.lookup, store.nodes, store.workspaces).routes(),
        *features.routes(),
    ]
    if not config.base_path:
        return routes
    return [Mount(config.base_path, app=lead_by_slashes(Routes(routes))), *routes]
