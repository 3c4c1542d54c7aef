"""The parts of one node, opened from the bottom up, each by constructors only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypha_cluster.clients.admission import Claims
from hypha_cluster.clients.drain import Drain, Work
from hypha_cluster.clients.events import Asked, Events
from hypha_cluster.clients.handover import Handover
from hypha_cluster.clients.life import ClientLife, Records, Terms
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.moves import PlannedMoves
from hypha_cluster.clients.places import Places, Relay
from hypha_cluster.clients.presence import Presence, departure
from hypha_cluster.config import Config
from hypha_cluster.features.feature import Feature, Features, Grounds, Lookups
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.chunk_relay import ChunkRelay
from hypha_cluster.hub.directory import Directory, Registered
from hypha_cluster.hub.manager.manager import manager_service
from hypha_cluster.hub.manager.services import ServiceFunctions
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.hub.manager.workspaces import WorkspaceFunctions
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.quotas import Quotas, Terms as Quota
from hypha_cluster.hub.replies import Replies
from hypha_cluster.hub.rights import Open, Rights
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.identity.access import Guests
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.links.client import RedisClient
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.urls import find_servers
from hypha_cluster.metrics import Counts
from hypha_cluster.node import Clients, Cluster, Node, Terms as NodeTerms, Watched
from hypha_cluster.protocol.envelope import FrameReader
from hypha_cluster.protocol.limits import CLIENT_FRAME
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.mailboxes import Mailboxes
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.rates import Rates
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.registry.regained import Regained
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.registry.services import RecentlyFound, RecentServices, Services
from hypha_cluster.registry.streams import Streams
from hypha_cluster.registry.tallies import Tally
from hypha_cluster.registry.unheard import Unheard
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.activity import Activity
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import CHANGED, write_event
from hypha_cluster.relay.intake import Intake, Onward
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.listener import RedisListener
from hypha_cluster.relay.paced import Paced
from hypha_cluster.relay.pending import OwedAnswers, PendingCalls
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.publisher import Limits, RedisPublisher
from hypha_cluster.relay.rights_queue import RightsQueue
from hypha_cluster.relay.tracing import Tracer
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.lookup import Gatekeeper, Lookup
from hypha_cluster.web.middleware.forwarded import Sources, networks

# Features to switch on, each with its settings.
Chosen = Sequence[tuple[type[Feature], Any]]


@dataclass(frozen=True, slots=True)
class Site:
    """What all parts of one node are told. inner_url: as in Grounds."""

    config: Config
    name: str
    inner_url: str
    counts: Counts
    tracer: Tracer
    supervisor: Supervisor
    features: Chosen
    room: Room


@dataclass(frozen=True, slots=True)
class Links:
    """The connections to Redis, and the names of the keys there."""

    servers: Servers
    recovery: Recovery
    keys: Keys
    redis: RedisClient
    publisher: RedisPublisher
    unheard: Unheard


@dataclass(frozen=True, slots=True)
class Stores:
    """What one node reads and writes in Redis."""

    recent: RecentlyFound
    registry: ClientRegistry
    services: Services
    mailboxes: Mailboxes
    public: PublicListing
    workspaces: Workspaces
    nodes: Nodes
    regained: Regained
    reaper: Reaper
    revocations: Revocations
    streams: Streams


@dataclass(frozen=True, slots=True)
class Frames:
    """The parts of the relay of one node."""

    connections: Connections
    pending: PendingCalls
    activity: Activity
    owed: OwedAnswers
    ledger: Ledger
    delivery: Delivery
    reader: FrameReader
    posts: Posts


@dataclass(frozen=True, slots=True)
class Means:
    """What the hub's own services work with, those of features too."""

    tokens: Tokens
    gatekeeper: Gatekeeper
    instances: Instances
    instance_pages: InstancePages
    calls: HubCalls
    activity: Activity
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub as a peer of its clients, on one node."""

    lookups: Lookups
    services: ServiceFunctions
    client: HubClient
    chunk_relay: ChunkRelay
    rights_queue: RightsQueue
    intake: Intake


@dataclass(frozen=True, slots=True)
class Attached:
    """The clients of one node, and how they are heard on the bus."""

    listener: RedisListener
    parts: Clients


def open_links(site: Site) -> Links:
    config = site.config
    servers = find_servers(config.redis_url, config.relay_timeout, site.supervisor)
    recovery, keys = Recovery(), Keys(config.redis_prefix)
    redis = open_redis(servers, config.relay_timeout, recovery)
    limits = Limits(config.mailbox_size, config.mailbox_frames, config.reconnect_grace)
    unheard = Unheard(redis, keys)
    publisher = RedisPublisher(servers, keys, site.name, limits, recovery, unheard.add)
    return Links(servers, recovery, keys, redis, publisher, unheard)


def open_stores(site: Site, links: Links) -> Stores:
    config, redis, keys = site.config, links.redis, links.keys

    def on_departure(address: str) -> None:
        links.publisher.announce(departure(address))

    def on_change(workspace: str) -> None:
        links.publisher.announce(write_event(CHANGED, workspace))

    public, recent = PublicListing(redis, keys), RecentlyFound(Paced(on_change))
    registry = ClientRegistry(redis, keys, public, on_departure)
    services = Services(redis, keys, public, recent)
    mailboxes = Mailboxes(redis, keys, config.reconnect_grace)
    nodes = Nodes(redis, keys, ttl=config.lease_ttl, interval=config.lease_interval)
    regained = Regained(nodes, site.name, links.recovery)
    reaper = Reaper(redis, keys, registry, nodes, links.unheard, config.reconnect_grace)
    workspaces = Workspaces(redis, keys, regained.find)
    revocations = Revocations(redis, keys)
    streams = Streams(redis, keys, config.reconnect_grace)
    return Stores(
        recent,
        registry,
        services,
        mailboxes,
        public,
        workspaces,
        nodes,
        regained,
        reaper,
        revocations,
        streams,
    )


def open_frames(site: Site, links: Links) -> Frames:
    config, counts = site.config, site.counts
    connections = Connections(config.outbox_size, config.send_timeout)
    # Reading more than any client sends would only cost time.
    reader = FrameReader(min(config.max_frame_size, CLIENT_FRAME))
    pending, owed = PendingCalls(counts.calls), OwedAnswers(reader)
    ledger = Ledger(pending, owed, site.tracer)
    delivery = Delivery(connections, links.publisher, ledger, owed, counts, reader)
    posts = Posts(site.name, links.publisher)
    activity = Activity(pending)
    return Frames(connections, pending, activity, owed, ledger, delivery, reader, posts)


def open_means(site: Site, links: Links, store: Stores, relay: Frames, tokens: Tokens) -> Means:
    config = site.config
    calls = HubCalls(
        site.name,
        relay.delivery,
        site.tracer,
        config.call_timeout,
        site.supervisor,
        config.max_message_size,
    )
    instances = Instances(links.redis, links.keys)
    pages = InstancePages(links.redis, links.keys, tokens.page_seals, instances)
    gatekeeper = Gatekeeper(
        tokens,
        store.revocations.book,
        store.workspaces,
        store.registry,
        pages,
        Guests(config.anonymous),
    )
    quotas = open_quotas(site, links)
    return Means(tokens, gatekeeper, instances, pages, calls, relay.activity, quotas)


def open_hub(site: Site, store: Stores, relay: Frames, means: Means, features: Features) -> Hub:
    config, calls, quotas = site.config, means.calls, means.quotas

    def load(address: str) -> int:
        """How many calls from this node wait for a client."""
        return relay.pending.waiting_for(address) + calls.waiting_for(address)

    services = ServiceFunctions(store.services, calls, quotas)
    own = HubServices([_manager(site, store, means, services), *features.services()])
    lately = RecentServices(store.services, store.recent)
    registered = Registered(store.services, lately, store.regained.find)
    directory = Directory(registered, store.public, own, calls, load)
    functions = OwnFunctions(own, directory, relay.connections, store.workspaces)
    visits = Visits(directory, own, functions, calls, relay.activity)
    lookup = Lookup(means.gatekeeper, store.workspaces, visits, config.public_base_url, quotas)
    replies = Replies(relay.delivery, site.supervisor)
    client = HubClient(replies, calls, functions, site.tracer, config.max_message_size)
    chunk_relay = ChunkRelay(relay.delivery, calls, replies)
    is_open = Open(relay.connections, lately)
    rights = Rights(store.workspaces, directory, is_open)
    rights_queue = RightsQueue(rights, site.supervisor)
    onward = Onward(client, chunk_relay, relay.delivery, relay.ledger)
    intake = Intake(site.name, onward, site.counts, relay.reader, rights_queue)
    lookups = Lookups(directory, visits, lookup)
    return Hub(lookups, services, client, chunk_relay, rights_queue, intake)


def _manager(site: Site, store: Stores, means: Means, services: ServiceFunctions) -> HubService:
    workspaces = WorkspaceFunctions(store.workspaces, store.registry, means.quotas)
    tokens = TokenFunctions(means.tokens, site.config.reconnection_token_lifetime)
    return manager_service(services, workspaces, tokens)


def open_quotas(site: Site, links: Links) -> Quotas:
    config, redis, keys = site.config, links.redis, links.keys
    terms = Quota(
        config.max_admissions,
        config.max_connections,
        config.max_services,
        config.max_workspaces,
        config.max_frames,
        config.max_traffic,
        config.max_mail,
        config.max_requests,
        config.reconnect_grace,
    )
    connections = Tally(redis, keys, "connections", site.name, terms.connections)
    services = Tally(redis, keys, "services", site.name, terms.services)
    sources = Sources(networks(config.trusted_proxies))
    return Quotas(terms, Rates(redis, keys), (connections, services), sources, site.counts)


def open_clients(
    site: Site, links: Links, store: Stores, relay: Frames, means: Means, hub: Hub
) -> Attached:
    config, counts = site.config, site.counts
    handover = Handover(
        site.name, links.publisher, relay.connections, on_given_up=means.quotas.came_back
    )
    mail = Mail(store.mailboxes, relay.connections, relay.delivery)
    grace = config.reconnect_grace
    presence = Presence(
        store.registry,
        store.services,
        links.publisher,
        counts,
        grace,
        means.instance_pages.comes_again,
    )
    asked = Asked(handover, relay.posts)
    rejects = relay.delivery.rejects
    events = Events(asked, rejects, hub.client, store.recent, links.recovery, counts)
    listener = RedisListener(
        links.servers,
        links.keys,
        site.name,
        links.publisher,
        Receivers(
            relay.delivery.receive, hub.intake.receive_own, events.dispatch, mail.collect_missed
        ),
        links.recovery,
    )
    parts = Relay(
        listener, relay.connections, relay.delivery, relay.ledger, counts, hub.chunk_relay
    )
    places = Places(parts, hub.client, presence, mail)
    claims = Claims(store.registry, presence, means.calls, site.name)
    life = ClientLife(
        Records(store.registry, claims, presence, mail, handover),
        parts,
        places,
        PlannedMoves(places, relay.connections, relay.ledger, presence, handover),
        Terms(site.name, config.max_message_size),
        site.supervisor,
    )
    work = Work(relay.pending, relay.owed, hub.client, means.calls)
    drain = Drain(life, places, relay.connections, work, site.supervisor)
    return Attached(listener, Clients(life, mail, presence, drain))


def open_node(site: Site, links: Links, store: Stores, relay: Frames, clients: Attached) -> Node:
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


def open_features(site: Site, links: Links, store: Stores, means: Means) -> Features:
    config = site.config
    grounds = Grounds(
        node=site.name,
        base_path=config.base_path,
        public_base_url=config.public_base_url,
        base_url=config.base_url,
        inner_url=site.inner_url,
        issuer=config.token_issuer,
        claims=config.auth0_namespace,
        max_message_size=config.max_message_size,
        calls=means.calls,
        activity=means.activity,
        gatekeeper=means.gatekeeper,
        room=site.room,
        tokens=means.tokens,
        workspaces=store.workspaces,
        revocations=store.revocations,
        servers=links.servers,
        redis=links.redis,
        keys=links.keys,
        instances=means.instances,
        instance_pages=means.instance_pages,
        supervisor=site.supervisor,
        counts=site.counts,
    )
    opened = [feature(settings, grounds) for feature, settings in site.features]
    return Features(opened, site.supervisor)
