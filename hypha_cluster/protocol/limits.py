"""What a stranger may make the hub keep or do: one table, which docs/operations.md shows.

Each name is the number itself, so that code imports it from here; each row says of what it is the
bound, in which unit, and why it is what it is. What the operator chooses is a setting; its row
names the flag, and config.py has the default.

Not here, since no stranger can reach it: the pauses and time-outs of `links/` and of
`relay/listener.py`, which are between the hub and its Redis, those of supervision.py, of the start
and the end of a process, and how often a job of the hub's own looks.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Limit:
    """A row of the table. value: None where the `setting`, a flag, says it."""

    topic: str
    what: str
    value: float | None
    unit: str
    reason: str
    setting: str = ""


TABLE: Final[list[Limit]] = []


class _Topic:
    """Rows that belong together."""

    def __init__(self, name: str) -> None:
        self._name = name

    def limit(self, value: N, unit: str, what: str, reason: str) -> N:
        """Put a row into the table; return its value."""
        TABLE.append(Limit(self._name, what, value, unit, reason))
        return value

    def setting(self, flag: str, what: str, reason: str) -> None:
        """Put a row into the table whose value an operator chooses."""
        TABLE.append(Limit(self._name, what, None, "", reason, flag))


_frames = _Topic("Frames")
_frames.setting("--max-frame-size", "a WebSocket message", "larger ones are never read whole")
CLIENT_FRAME: Final = _frames.limit(
    1_000_000,
    "bytes",
    "a frame from client to client",
    "a Python client that gets more than 1,024,000 stops reading for good, and the hub adds who "
    "the sender is; clients send more in chunks by themselves",
)
SEAL: Final = _frames.limit(
    65_536,
    "bytes",
    "what the hub adds to a frame: who the sender is",
    "an identity comes from a token, which is shorter",
)
PACE: Final = _frames.limit(
    20_000,
    "frames a second",
    "what one connection sends; then it is read more slowly",
    "more than any published client can send, and less than a gateway can pass on",
)
PACED_FRAMES: Final = _frames.limit(
    500, "frames", "what comes of one connection between two looks at its pace", "a look costs time"
)
PACED_BYTES: Final = _frames.limit(
    1_048_576, "bytes", "the same in bytes", "a few large frames take as long as many small ones"
)
LONGEST_PAUSE: Final = _frames.limit(
    5.0,
    "seconds",
    "the longest pause in reading a connection that sends too much",
    "clients expect answers to their pings",
)
SHOWN: Final = _frames.limit(
    100,
    "characters",
    "what a message, an error or a line of the log repeats of a text that a client sent",
    "enough to know it again; an error is never larger than what caused it",
)
ERROR: Final = _frames.limit(
    16_384,
    "characters",
    "the text of an error in an answer of the hub, also of one that a client's function raised",
    "a trace of some dozen calls fits in",
)
ADDRESS: Final = _frames.limit(
    513,
    "characters",
    "an address, `workspace/client`, to which a frame is sent",
    "two names of 256, and what is between them",
)
PATH: Final = _frames.limit(
    1_024,
    "characters",
    "the path of a function or a callback, a session, the key of a message in chunks",
    "a session has 22, and as many more for each call that it is nested in",
)
HOST: Final = _frames.limit(
    261,
    "characters",
    "the host by which a client says that it reaches the hub, in `Host` or `X-Forwarded-Host`",
    "a name has 253, a port 7; the hub repeats it in each answer that has its URL",
)
DEPTH: Final = _frames.limit(
    200,
    "levels",
    "a value that the hub walks through",
    "JavaScript's encoder goes to 100",
)

CONTAINERS: Final = _frames.limit(
    200_000,
    "lists and maps",
    "lists and maps in one frame, and in a message in chunks to the hub itself",
    "reading them takes 10 ms, in which others wait; a client that sends points as lists of two "
    "numbers has 170,000 at most in a frame",
)
FIELD: Final = _frames.limit(
    65_536,
    "bytes",
    "a field of a frame that may not pass, if it is to be read all the same to tell the sender",
    "the reject of a promise has some hundred",
)
REFERENCES: Final = _frames.limit(
    1_000,
    "functions",
    "functions of others than the sender in one message",
    "each is looked at; the objects that programs pass on have some dozens",
)
FUNCTION_TEXT: Final = _frames.limit(
    16_384,
    "bytes",
    "a text that describes a function of another workspace: its path, signature or docs",
    "in a message in chunks it is kept until it has come whole",
)

_chunks = _Topic("Messages in chunks")
_chunks.setting(
    "--max-message-size", "a message in chunks", "the receiver has to put it together in memory"
)
HUB_MESSAGES: Final = _chunks.limit(
    8_388_608,
    "bytes",
    "what a client sends to the hub itself in chunks, all of it together; answers may be longer",
    "it is put together in memory; a registration with long docs has some hundred kilobytes",
)
CHUNK: Final = _chunks.limit(
    512_000, "bytes", "one chunk, as the hub sends it", "what published clients send"
)
SINGLE_FRAME: Final = _chunks.limit(
    513_024,
    "bytes",
    "what the hub sends in one frame; more goes in chunks",
    "what published clients do",
)
PARTS: Final = _chunks.limit(
    536_870_912,
    "bytes",
    "what has come of messages to the hub in chunks that are not whole, of all clients of a "
    "gateway; the same, or four times `--max-message-size`, of answers that it waits for; no "
    "client has more of it than is still free",
    "who ends none by many connections would have all of its memory",
)
MESSAGES: Final = _chunks.limit(
    1_000,
    "messages",
    "what one client has on its way in chunks; the oldest is given up for a newer one",
    "each costs a reader; no program sends as many at once",
)
IDLE_MESSAGE: Final = _chunks.limit(
    600.0,
    "seconds",
    "how long a message on its way may rest, if its sender sends others meanwhile",
    "its target keeps what has come of it; clients give up a chunk after 30 s",
)
LEVELS: Final = _chunks.limit(
    512,
    "levels",
    "lists and maps one in the other, in a message in chunks",
    "what each level still expects is kept; JavaScript's encoder goes to 100",
)
CHUNK_ITEMS: Final = _chunks.limit(
    1_024,
    "items",
    "a list or a map that the hub looks into while a message passes in chunks",
    "only the envelope and the promise are looked into, and theirs are short",
)

_calls = _Topic("Calls")
_calls.setting("--call-timeout", "a call that the hub makes at a client", "clients may say nothing")
PENDING_CALLS: Final = _calls.limit(
    10_000,
    "calls",
    "calls of one client that wait for an answer; of more it is told when they cannot be "
    "delivered, but not when the callee leaves later",
    "the names of each are kept until it is answered, and some never are",
)
OWED_ANSWERS: Final = _calls.limit(
    1_000,
    "calls",
    "calls that one page of an app has got, which it is known to have to answer; the next page "
    "waits for these when a runner stops",
    "some are never answered",
)
HUB_CALLS: Final = _calls.limit(
    5_000,
    "calls",
    "calls of one client that the hub itself has at work, the parts of its messages among them; "
    "more are rejected",
    "each costs 8 kB until it is answered, as long as a silent client may take for that",
)
ALL_HUB_CALLS: Final = _calls.limit(
    20_000,
    "calls",
    "such calls of all clients of a gateway; then those of whoever has some are rejected",
    "whoever opens many connections would have all of its memory",
)
FEW_HUB_CALLS: Final = _calls.limit(
    16, "calls", "how many a client may have even then", "others should not notice"
)
HUB_CALL_BYTES: Final = _calls.limit(
    1_073_741_824,
    "bytes",
    "memory that such calls of all clients may take, roughly; no client has more of "
    "it than is still free, and then its calls are rejected",
    "arguments are kept until a call is answered: a megabyte of them in a frame, and many small "
    "values take 90 times what they have there",
)
LONG_MESSAGES: Final = _calls.limit(
    536_870_912,
    "bytes",
    "calls and answers of the hub itself that are on their way in chunks; no client has more of "
    "them coming than is still free",
    "a listing has megabytes, and is kept until its client has taken all chunks",
)
TRACED_CALLS: Final = _calls.limit(
    10_000, "calls", "calls that are followed by tracing at once", "some are never answered"
)
CALLBACKS: Final = _calls.limit(
    1_000,
    "calls",
    "calls of the functions that the hub has passed in one call of its own, which wait",
    "clients await the answer to one before they make the next",
)
CALLBACK_BYTES: Final = _calls.limit(
    4_194_304,
    "bytes",
    "what these calls may hold; a larger one is taken when nothing else waits",
    "some pieces of a stream on their way, while one is written",
)
SHORTEST_INTERVAL: Final = _calls.limit(
    0.1, "seconds", "the least between two heartbeats of the hub's", "not a flood"
)
LONGEST_INTERVAL: Final = _calls.limit(
    3_600.0, "seconds", "the most between two heartbeats of the hub's", "a timer needs an end"
)

KNOWN_TARGETS: Final = _calls.limit(
    4_096, "addresses", "addresses whose keys in Redis a gateway remembers", "frames go there again"
)
KNOWN_TARGET: Final = _calls.limit(
    128, "characters", "an address that it remembers so", "published clients make up shorter ones"
)

_waiting = _Topic("What waits for a client")
_waiting.setting(
    "--outbox-size",
    "what waits for a slow client; then calls to it are rejected, at twice that it is dropped",
    "a client that does not read costs memory",
)
_waiting.setting("--mailbox-size", "what waits for a suspended client", "it costs memory of Redis")
_waiting.setting("--mailbox-frames", "how many frames wait for it", "each costs some bytes more")
_waiting.setting("--send-timeout", "how long a client may take nothing", "then it is gone")
_waiting.setting("--reconnect-grace", "how long a suspended client keeps its place", "then it left")

OUTBOXES: Final = _waiting.limit(
    1_073_741_824,
    "bytes",
    "what waits for all slow clients of a gateway; for more, those for whom most waits are dropped",
    "whoever reads nothing by many connections would have all of its memory",
)
PUT_OFF: Final = _waiting.limit(
    6.0,
    "seconds",
    "how long a client that cannot be attached (while Redis is away, say) is kept connected",
    "a Python client that is closed within 3 s of a return spins for good; what it calls meanwhile "
    "is rejected",
)
AWAY_AFTER: Final = _waiting.limit(
    8.0,
    "seconds",
    "how long callers wait for a suspended program; then they are told that it is away",
    "a program comes back at once if it can",
)
PAGE_AWAY_AFTER: Final = _waiting.limit(
    25.0,
    "seconds",
    "the same for a page of a browser",
    "a page comes back when it next refreshes its connection info",
)
LEFT_MEMORY: Final = _waiting.limit(
    300.0,
    "seconds",
    "how long the hub remembers what a client that left has left behind",
    "the gateway that cleans up may die before it is done",
)
HANDOVER: Final = _waiting.limit(
    1.0,
    "seconds",
    "how long a client that comes back waits for the gateway that it comes from",
    "the one before has to pass on what it has; if it does not answer, it is taken to be dead",
)
SETTLING: Final = _waiting.limit(
    0.02,
    "seconds",
    "how much longer the new connection of a page waits when the old one has ended",
    "its browser tells the page of the end a moment later",
)
YOUNGEST: Final = _waiting.limit(
    5.0,
    "seconds",
    "how long a client has been connected before a gateway that stops sends it away",
    "a Python client that is closed sooner may spin for good",
)
BUSY_PATIENCE: Final = _waiting.limit(
    5.0,
    "seconds",
    "how long a gateway that stops waits for what a client has begun with the hub itself",
    "another gateway cannot go on with it",
)
QUIET_PATIENCE: Final = _waiting.limit(
    3.0,
    "seconds",
    "how long a gateway that stops waits until a client sends nothing for a moment",
    "a frame that is sent while its connection ends is lost by the client",
)
EXPULSION: Final = _waiting.limit(
    10.0,
    "seconds",
    "how long after a revocation new connections are looked at again",
    "a client that was let in just before is attached by then",
)
UNPUBLISHED: Final = _waiting.limit(
    67_108_864,
    "bytes",
    "frames of one gateway that Redis has not answered; more are rejected",
    "a Redis that takes no more is as good as away",
)
RECENT_FRAMES: Final = _waiting.limit(
    10_000,
    "frames",
    "frames that a gateway knows again, so that none is delivered twice while Redis fails over",
    "a primary that became a replica repeats what was said for some seconds",
)
RECENT_HEAD: Final = _waiting.limit(
    2_048,
    "bytes",
    "the beginning of such a frame, in which the session of its call is looked for",
    "the envelope comes first; what has none there may be repeated",
)
UNHEARD: Final = _waiting.limit(
    10_000,
    "clients",
    "clients that this gateway has called and whose own gateway may be dead; it checks on them",
    "calls to more of them wait until their gateway's lease has ended",
)

_streams = _Topic("Event streams")
_streams.setting("--max-frame-size", "a frame that is posted", "it is kept until it has come whole")
SHORTEST_SESSION: Final = _streams.limit(
    8,
    "characters",
    "the least that a session_id has",
    "whoever knows it can post as the client, if that has no token; published clients make 15 "
    "and more",
)
LONGEST_SESSION: Final = _streams.limit(
    256, "characters", "the most that a session_id has", "it is hashed for each frame"
)
POSTED_FRAMES: Final = _streams.limit(
    1_000,
    "frames",
    "posted frames of one client that wait for their turn; more are answered 503",
    "a browser has six requests under way at once, a hundred by HTTP/2",
)
POSTED_BYTES: Final = _streams.limit(
    4_194_304,
    "bytes",
    "what these frames may have; a larger one is taken when nothing else waits",
    "some chunks of a large message",
)
POST_PATIENCE: Final = _streams.limit(
    5.0,
    "seconds",
    "how long a post waits until another gateway says what became of its frame",
    "then it counts as on its way, as everything does that is sent by a WebSocket",
)
STREAM_PATIENCE: Final = _streams.limit(
    1.0,
    "seconds",
    "how long a post waits for its client's stream, which has ended and may begin anew",
    "browsers come back after 0.3 to 1 s",
)
KNOWN_STREAMS: Final = _streams.limit(
    4_096,
    "streams",
    "streams of other gateways whose clients a gateway remembers for 5 seconds",
    "a page posts many frames in a row",
)
STREAM_EVENTS: Final = _streams.limit(
    65_536,
    "bytes",
    "frames, with their ids, that are written to a stream in one go, if there are several",
    "what a socket takes at once",
)
TAIL_BYTES: Final = _streams.limit(
    4_194_304,
    "bytes",
    "frames that were sent to one stream last, for its client that may not have got them",
    "what is on its way through sockets and proxies; it counts as `--max-mail` of the client",
)
TAIL_FRAMES: Final = _streams.limit(
    1_000, "frames", "how many these may be", "Redis takes them at once when the stream breaks"
)
TAIL_PATIENCE: Final = _streams.limit(
    60.0,
    "seconds",
    "how long these are kept",
    "a host that acknowledges nothing is given up after 40 s",
)
TAILS: Final = _streams.limit(
    67_108_864,
    "bytes",
    "what a gateway keeps of them for all streams; no user or address has more than is still free",
    "most streams say little, and what is older than a minute is not kept",
)

_connections = _Topic("Connections")
TURNS: Final = _connections.limit(
    100,
    "requests",
    "requests that come on a connection before the first of them is answered",
    "each is kept until it is its turn; one more is answered 429",
)
UNTAKEN_BODY: Final = _connections.limit(
    65_536,
    "bytes",
    "what is read of a body that nobody takes yet",
    "then the connection is not read any further",
)
UNTAKEN_MESSAGES: Final = _connections.limit(
    1_048_576,
    "bytes",
    "what is read of WebSocket messages that nobody takes yet, while a client is let in, say",
    "then the connection is not read any further",
)
MESSAGE_OVERHEAD: Final = _connections.limit(
    256,
    "bytes",
    "what one of these messages counts besides its own bytes",
    "so much it costs, if it has no bytes at all",
)
HEAD: Final = _connections.limit(
    65_536,
    "bytes",
    "the head of a request",
    "tokens travel in queries and headers",
)
IDLE_CONNECTION: Final = _connections.limit(
    75.0,
    "seconds",
    "how long a connection stays on which no request comes, or none comes whole",
    "longer than balancers keep theirs, so none of them uses one that is closed",
)
HEAD_PATIENCE: Final = _connections.limit(
    20.0,
    "seconds",
    "how long the head of a request, a handshake of a WebSocket's too, may be on its way; on "
    "Hypercorn's own path as long as an idle connection",
    "whoever sends a byte now and then would hold a connection for as long as that",
)
TLS_HANDSHAKE: Final = _connections.limit(
    15.0, "seconds", "how long a handshake of TLS may take", "until then nothing is known of it"
)
CLOSING: Final = _connections.limit(
    5.0,
    "seconds",
    "how long a peer may take to answer that a WebSocket is closed",
    "then it is cut off; it has had all that was sent before",
)
DEAD_HOST: Final = _connections.limit(
    40.0,
    "seconds",
    "how long a peer may take nothing of what it is sent (as the kernel counts it, on Linux)",
    "TCP by itself goes on for a quarter of an hour if its host is gone, and for ever if it is not",
)
BACKLOG: Final = _connections.limit(
    4_096,
    "connections",
    "connections that the system keeps until a gateway takes them",
    "after a restart all clients come at once",
)
UNFINISHED_MESSAGES: Final = _connections.limit(
    268_435_456,
    "bytes",
    "what has come of WebSocket messages that are not whole, of all connections of a gateway; for "
    "more, the one that was begun first gives way and its connection is closed with 1013",
    "whoever begins large messages and ends none would have all of its memory; an honest client "
    "ends one of a megabyte in seconds",
)
LINGERING: Final = _connections.limit(
    5.0,
    "seconds",
    "how long one may go on sending after an answer that came before the end of a request",
    "a client that still sends would lose the answer if the connection ended at once",
)
FIRST_MESSAGE: Final = _connections.limit(
    5.0,
    "seconds",
    "how long a client of another generation may take to say who it is",
    "it reads what it should do only then",
)
HEARING: Final = _connections.limit(
    0.4,
    "seconds",
    "how long the new connection of a client waits for the end of what came by its old one",
    "frames must not overtake each other; a handshake takes 5 s at most",
)
ALIVE: Final = _connections.limit(
    3.0,
    "seconds",
    "how long a client may take to show that it lives, when another one asks for its address",
    "a handshake takes 5 s at most",
)

_registry = _Topic("Names and infos")
NAME: Final = _registry.limit(
    256,
    "characters",
    "a name of a workspace, a client, a service or a user",
    "they are keys in Redis, and in every frame",
)
SERVICE_INFO: Final = _registry.limit(
    65_536, "bytes", "the info of one service, as JSON", "listings repeat it"
)
WORKSPACE_SETTINGS: Final = _registry.limit(
    262_144,
    "bytes",
    "the settings of one workspace with its applications, as JSON",
    "they are read whole whenever somebody connects, and answered whole",
)
READ_CACHE: Final = _registry.limit(
    4_194_304,
    "bytes",
    "what a gateway remembers for a second of what it read, of each of four kinds",
    "callers over HTTP ask for the same again and again",
)
READ_WORKSPACES: Final = _registry.limit(
    8_388_608,
    "bytes",
    "settings of workspaces, as they were read last, that a gateway need not read anew",
    "each client that connects reads those of its workspace",
)
LOGGED: Final = _registry.limit(
    2_000, "characters", "what a client logs at the hub with one call", "it is one line"
)
KNOWN_SERVICES: Final = _registry.limit(
    8_388_608,
    "bytes",
    "what a gateway keeps, as msgpack, of what providers say of their services",
    "so that not each call asks the provider again",
)

CANDIDATES: Final = _registry.limit(
    64,
    "clients",
    "providers of one service among which one is chosen",
    "each is looked at; more are chosen from at random",
)
KNOWN_KEYS: Final = _registry.limit(
    256,
    "addresses",
    "addresses whose keys a gateway remembers beside those of targets",
    "a client that comes or goes is named a dozen times within milliseconds",
)
SIGNATURE: Final = _registry.limit(
    1_000, "characters", "a signature that is passed on", "readers of it take it apart"
)
KNOWN_SIGNATURES: Final = _registry.limit(
    256,
    "signatures",
    "signatures of which a gateway remembers whether they can be read",
    "services that are registered or fetched anew have the same functions again",
)

_turns = _Topic("Cleaning up, turn by turn")
SUSPENDED_AT_ONCE: Final = _turns.limit(
    100, "clients", "clients that one script suspends", "Redis does nothing else meanwhile"
)
ORPHANS_AT_ONCE: Final = _turns.limit(
    500,
    "clients",
    "clients of a dead gateway that are seen to side by side",
    "others ask Redis too",
)
ORPHANS: Final = _turns.limit(
    20_000, "clients", "clients of a dead gateway in one turn", "other gateways see to them too"
)
OVERDUE: Final = _turns.limit(
    1_000,
    "clients",
    "clients that did not come back, in one turn",
    "the next turn is a second later",
)
MAILBOXES: Final = _turns.limit(
    5_000,
    "mailboxes",
    "mailboxes that are looked at in one turn for calls to be rejected",
    "the next turn is a second later",
)
MAILBOXES_AT_ONCE: Final = _turns.limit(
    100, "mailboxes", "mailboxes that one script looks at", "Redis does nothing else meanwhile"
)
CAUGHT_UP: Final = _turns.limit(
    100,
    "clients",
    "clients whose mail is collected side by side after a link to Redis broke",
    "others ask Redis too",
)

_quotas = _Topic("One user or address, on all gateways")
_quotas.setting("--max-admissions", "connections that they open in a minute", "each is looked up")
_quotas.setting("--max-connections", "connections that they have", "each takes memory")
_quotas.setting("--max-services", "services that their clients offer", "Redis keeps each")
SERVICE_UNIT: Final = _quotas.limit(
    1_024,
    "bytes",
    "what a service has in its info, as JSON, on an average; larger ones count as several",
    "most have some hundred; who may have many large ones would fill Redis, and every listing",
)
_quotas.setting("--max-workspaces", "workspaces that they make in a day", "Redis keeps each")
_quotas.setting("--max-frames", "frames that they send in a second", "others want their turn")
_quotas.setting("--max-traffic", "bytes that they send in a second", "others want their turn")
_quotas.setting(
    "--max-mail", "bytes that they put into mailboxes of suspended clients", "Redis keeps them"
)
_quotas.setting("--max-requests", "HTTP requests of theirs in a second", "others want their turn")

SOURCE: Final = _quotas.limit(
    64,
    "characters",
    "an address in `X-Forwarded-For`",
    "the longest of IPv6 has 45, and the name of a network besides",
)
KNOWN_SOURCES: Final = _quotas.limit(
    4_096,
    "addresses",
    "addresses of which a gateway remembers for whom they count",
    "each request asks for its own",
)
PROXIES_TOLD: Final = _quotas.limit(
    20,
    "addresses",
    "addresses of which a gateway logs that what they say of others is not believed, or missing",
    "anybody can send such headers from anywhere; one or two are proxies of yours",
)

_tokens = _Topic("Tokens")
TOKEN: Final = _tokens.limit(
    16_384, "characters", "a token that is checked", "more than any issuer makes"
)
CHILD_TOKEN: Final = _tokens.limit(
    6_144,
    "characters",
    "a token that is made",
    "beside a reconnection token of the same claims it must fit into the head of a request",
)
TOKEN_LIFETIME: Final = _tokens.limit(
    10 * 365 * 86_400, "seconds", "how long a token holds that is made", "clocks can tell it"
)
PAGE_TOKEN: Final = _tokens.limit(
    900.0,
    "seconds",
    "how long the token in a page of the hub holds",
    "whoever looks for longer loads the page again",
)
VERIFIED_TOKENS: Final = _tokens.limit(
    1_000,
    "tokens",
    "tokens whose check is remembered, for 10 seconds",
    "callers over HTTP bring the same token again and again",
)

ISSUED_TOKENS: Final = _tokens.limit(
    100, "tokens", "tokens that one user has made on the account page", "all of them are shown"
)
LISTED_LOGINS: Final = _tokens.limit(
    20,
    "tokens",
    "tokens by a login that the account page shows; the oldest make room",
    "a program may log in each time that it is started",
)
NOTED_USES: Final = _tokens.limit(
    10_000,
    "tokens",
    "tokens of the account page whose last use one gateway notes in a minute",
    "each is one command to Redis",
)
REVOCATIONS: Final = _tokens.limit(
    100_000,
    "revocations",
    "revocations that are kept; then only admins add to them",
    "every gateway knows them all",
)

_accounts = _Topic("Logins")
LOGINS: Final = _accounts.limit(
    1_000, "logins", "programs that wait for a login at one gateway", "each looks again and again"
)
LOGIN_KEY: Final = _accounts.limit(
    256, "characters", "what a key of a login has", "it is looked up in Redis"
)
FORM: Final = _accounts.limit(
    16_384, "bytes", "a form of the login page or the account page", "it holds names and a password"
)
LOGINS_BEGUN: Final = _accounts.limit(
    100,
    "logins",
    "logins that programs begin at one address, within ten minutes",
    "each is kept until it ends",
)
ISSUER_REFUSALS: Final = _accounts.limit(
    100,
    "codes",
    "codes and refresh tokens of one address that the issuer refuses, within ten minutes",
    "an issuer may shut out the hub's own address, and then nobody logs in",
)
ISSUER_REQUESTS: Final = _accounts.limit(
    16,
    "requests",
    "codes and refresh tokens that one gateway has redeemed at once for pages",
    "each is a connection to the issuer, which people who log in need too",
)
REPORTS: Final = _accounts.limit(
    10,
    "tokens",
    "tokens that are reported for one login, or from one address, and refused, within ten minutes",
    "each is checked, and a page has one",
)
ATTEMPTS: Final = _accounts.limit(
    10,
    "passwords",
    "wrong passwords for one account from one address, within ten minutes",
    "so many passwords are tried out in no time",
)
ATTEMPTS_ANYWHERE: Final = _accounts.limit(
    100,
    "passwords",
    "wrong passwords for one account, or from one address, within ten minutes",
    "many addresses, or many accounts, are tried too",
)
SHORTEST_PASSWORD: Final = _accounts.limit(
    8, "characters", "the least that a password has", "shorter ones are tried out"
)
LONGEST_PASSWORD: Final = _accounts.limit(
    256, "characters", "the most that a password has", "it is hashed, which takes time"
)
PASSWORDS: Final = _accounts.limit(
    2, "passwords", "passwords that one gateway checks at once", "each takes 64 MiB and a CPU"
)

_http = _Topic("HTTP")
_http.setting("--max-message-size", "the body of a request", "it is kept until it has come whole")
FUNCTION_BODY: Final = _http.limit(
    33_554_432,
    "bytes",
    "the body of a request for a service of functions",
    "it is passed to the function whole; an ASGI application gets it piece by piece",
)
STREAM_PIECE: Final = _http.limit(
    262_144,
    "bytes",
    "a piece of a request body, as an ASGI application gets it",
    "it travels in one frame",
)
OVERSEEN_CLIENTS: Final = _http.limit(
    200,
    "clients",
    "clients that the admin page lists; it says how many there are, and lists one workspace",
    "each has a form",
)
SHOWN_SERVICES: Final = _http.limit(
    200, "services", "services that a page for people shows", "nobody reads more in one page"
)
SHOWN_CLIENTS: Final = _http.limit(
    200, "clients", "clients that the page of a workspace shows", "each is looked up"
)
SHOWN_FUNCTIONS: Final = _http.limit(
    200,
    "functions",
    "functions that the page of a service shows, or OpenAPI describes",
    "each has a form",
)
SHOWN_TEXT: Final = _http.limit(
    4_096,
    "characters",
    "a description or docs on a page, or in OpenAPI",
    "enough to read before one calls it",
)
LISTED_WORKSPACES: Final = _http.limit(
    1_000, "workspaces", "workspaces that `/api/stats` tells of one by one", "each is looked up"
)
INFLATION: Final = _http.limit(
    100,
    "times",
    "how many times larger a compressed body may be than what was sent, if it is above a MiB",
    "a few KB of zeros would fill the memory of a gateway; text shrinks to a tenth",
)
DESCRIBED_SERVICES: Final = _http.limit(
    200,
    "services",
    "services of a workspace in its description as OpenAPI",
    "each provider is asked; nobody reads more",
)
DESCRIPTION: Final = _http.limit(
    4_194_304,
    "bytes",
    "what a workspace's description as OpenAPI says of its functions",
    "whoever may see the services may ask for it; services that do not fit are counted in it",
)
DESCRIPTION_PATIENCE: Final = _http.limit(
    5.0,
    "seconds",
    "how long the providers of a workspace have to say what they offer, for OpenAPI",
    "services that are not described by then are counted in it",
)
DESCRIBED_AT_ONCE: Final = _http.limit(
    10, "providers", "providers that are asked for it side by side", "others have calls too"
)
NUMBER: Final = _http.limit(
    20,
    "digits",
    "a number in a query",
    "msgpack has no integers of more than 64 bits; Python takes long to read a thousand digits",
)
WRITTEN_AT_ONCE: Final = _http.limit(
    2_000,
    "values",
    "values of an answer that are written before others have their turn",
    "it takes a millisecond or two",
)
WRITTEN_LEVELS: Final = _http.limit(
    50,
    "levels",
    "levels of an answer that are written at once",
    "deeper ones are written step by step",
)
ANSWER_PIECE: Final = _http.limit(
    65_536, "bytes", "a piece of an answer that is sent at once", "what a socket takes at once"
)
ANSWER_TURN: Final = _http.limit(
    100, "steps", "steps of writing one, after which others have their turn", "each is short"
)
INFLATED_AT_ONCE: Final = _http.limit(
    1_048_576,
    "bytes",
    "what is inflated of a body before others have their turn",
    "it takes some milliseconds",
)
FORM_FIELDS: Final = _http.limit(
    1_000,
    "fields",
    "texts and files in one form",
    "each is an argument of a function",
)
ARGUMENT_VALUES: Final = _http.limit(
    1_200_000,
    "values",
    "values in the arguments of one call over HTTP",
    "nobody else is served while they are read; an image of 512 by 512 points has 1,049,089",
)
ARGUMENT_CONTAINERS: Final = _http.limit(
    300_000,
    "lists and maps",
    "lists and maps in the arguments of one call over HTTP",
    "each costs 50 times its bytes in memory; such an image has 262,657",
)
SMALL_BODY: Final = _http.limit(
    1_048_576,
    "bytes",
    "a body that needs no room among the large ones",
    "whoever may open connections may send as much by WebSocket",
)
LARGE_BODIES: Final = _http.limit(
    134_217_728,
    "bytes",
    "all large bodies that a gateway has in memory at once; a single one may have more",
    "each takes about four times its size until the function has answered; more are answered 503",
)
LONG_ANSWERS: Final = _http.limit(
    536_870_912,
    "bytes",
    "answers of more than 64 KiB that are being sent; no address has more of them than is still "
    "free, except for a single one, and then its requests are answered 503",
    "who reads nothing by many connections would have all of a gateway's memory",
)
LONG_ANSWER: Final = _http.limit(65_536, "bytes", "an answer that counts there", "sockets take it")
BODY_PATIENCE: Final = _http.limit(
    30.0, "seconds", "how long a body may be on its way", "it is kept until it has come whole"
)
BODY_PACE: Final = _http.limit(
    16_384,
    "bytes a second",
    "a body may be on its way one second longer for each so many bytes of it that have come",
    "slow networks are faster, and nobody holds the room of the others for ever",
)

_logs = _Topic("Logs")
LOG_LINES: Final = _logs.limit(
    10_000,
    "lines",
    "lines of one kind that a process logs at once; warnings and the audit log are not counted",
    "a crowd that comes back has a line for each client",
)
LOG_LINES_A_SECOND: Final = _logs.limit(
    20, "lines a second", "of one kind, from then on", "a stranger would fill the disk with them"
)

_apps = _Topic("Server apps")
APP_FILE: Final = _apps.limit(
    1_048_576, "bytes", "one file of an installed app", "Redis keeps it, and sends it whole"
)
APP_SIZE: Final = _apps.limit(
    8_388_608, "bytes", "all files of one app", "they are installed with one command"
)
APP_FILES: Final = _apps.limit(200, "files", "files of one app", "all are named in its record")
APP_INSTALLS: Final = _apps.limit(
    4,
    "calls",
    "calls of one user at one gateway that install or edit apps; the others wait",
    "the files of each are in memory",
)
APP_FETCHES: Final = _apps.limit(
    32,
    "sources",
    "sources that one gateway fetches at once; the others wait",
    "the files of each are in memory",
)
APPS: Final = _apps.limit(
    100, "apps", "apps that are installed in one workspace", "listings show all of them"
)
APPS_SIZE: Final = _apps.limit(
    67_108_864,
    "bytes",
    "all apps of one workspace: files and sources, of all versions that are kept",
    "Redis has them in memory; where they are too large together, old versions go first",
)
APP_VERSIONS: Final = _apps.limit(
    5, "versions", "versions of one app that are kept, the present one among them", "to go back to"
)
APP_RECORD: Final = _apps.limit(
    65_536, "bytes", "the manifest of one app, with its docs, as JSON", "listings repeat it"
)
APP_INSTANCES: Final = _apps.limit(
    32,
    "instances",
    "instances of apps in one workspace that run, or wait for a runner",
    "each takes a page of a browser, which has some 100 MB",
)
APP_ENDS: Final = _apps.limit(
    32,
    "instances",
    "ends of instances of one workspace that are remembered, with their logs",
    "the newest tell most",
)
APP_HISTORY: Final = _apps.limit(
    256, "changes", "changes of the state of an instance that are known", "the newest tell most"
)
APP_STARTS: Final = _apps.limit(
    1_000,
    "calls",
    "calls at one gateway that wait for an app to start; of one user a tenth",
    "each looks again and again",
)
APP_IDLE: Final = _apps.limit(
    300.0,
    "seconds",
    "how long one of several instances of an app is not called before it stops; an app says "
    "otherwise by `stop_after_inactive`",
    "calls come in waves",
)
APP_TARGET: Final = _apps.limit(
    4,
    "calls",
    "calls that wait for each instance of an app before it gets one more, up to its "
    "`max_instances`; an app says otherwise by `target_requests_per_instance`",
    "a page does one thing at a time",
)
APP_START_TIME: Final = _apps.limit(
    3_600.0, "seconds", "how long a start of an app may be waited for", "whoever waits keeps a page"
)
APP_FOLLOWERS: Final = _apps.limit(
    1_000,
    "followers",
    "those who follow logs of instances at one gateway; of one user a tenth",
    "each reads for itself what is new",
)
APP_LOG: Final = _apps.limit(
    2_048, "entries", "entries of each kind in the log of an instance", "the newest tell most"
)
APP_LOG_ENTRY: Final = _apps.limit(
    16_384,
    "characters",
    "one entry of the log of an instance",
    "a trace of some dozen calls fits in",
)
APP_LOG_SIZE: Final = _apps.limit(
    262_144,
    "bytes",
    "the log of an instance, of each kind; then the oldest entries go",
    "Redis keeps those of all instances that run, and of the last that ended",
)
