"""What is measured, and the limits for it (docs/performance.md has the results)."""

from dataclasses import dataclass, field

CPU = "cpu_ms"  # of gateways and Redis together, per operation
GATEWAY_CPU = "server_ms"
CLIENT_LIMIT = 1_000  # connections: more take the original very long to make

# What is measured: the hub, the original, the hub in other ways, and servers that only echo.
OURS, ORIGINAL = "ours", "original"
ON_ASYNCIO, HYPERCORNS_PATH, PLAIN_MALLOC = "ours-asyncio", "ours-hypercorn", "ours-malloc"
BOTH = (OURS, ORIGINAL)
BARE = "echo-bare"
ECHO_SERVERS = (BARE, "echo-direct", "echo-asgi", "echo-hypercorn", "echo-uvicorn")


@dataclass(frozen=True)
class Case:
    """A scenario of benchmarks.load, on how many gateways, and its limit by that number.

    A limit is the most that CPU may be, as a part of the single-process original's.
    """

    name: str
    scenario: str
    options: dict[str, int] = field(default_factory=dict)
    nodes: tuple[int, ...] = (1,)
    limits: dict[int, float] = field(default_factory=dict)
    subjects: tuple[str, ...] = BOTH

    def by_real_client(self) -> bool:
        return not self.scenario.startswith(("raw.", "sse."))

    def is_idle(self) -> bool:
        """Whether there are no operations that could cost something each."""
        return self.scenario in ("raw.idle", "sse.idle")


def _calls() -> list[Case]:
    alone = {1: 1 / 5, 2: 1 / 4}
    many = {1: 1 / 8, 2: 1 / 5}
    return [
        Case("echo", "real.echo", {}, (1, 2), alone),
        Case("echo-64", "real.echo", {"each": 64}, (1, 2), many, (*BOTH, ON_ASYNCIO)),
        Case("echo-8x8", "real.echo", {"callers": 8, "each": 8}, (1, 2)),
        Case("fan-out-500", "real.fan_out", {"callers": 500}, (1, 2)),
        Case("array-1", "real.array", {"megabytes": 1}, (1, 2)),
        Case(
            "array-16",
            "real.array",
            {"megabytes": 16},
            (1, 2),
            {1: 1 / 15},
            (*BOTH, PLAIN_MALLOC),
        ),
    ]


def _registry() -> list[Case]:
    register = [
        Case(f"register-{n}", "real.register_service", {"services": n}, (1,), {1: 1 / 15})
        for n in (10, 100, 1_000)
    ]
    own = {"services": 100, "own": 1}
    register.append(Case("register-own-100", "real.register_service", own, (1,), {1: 1 / 15}))
    fifth = {1: 1 / 5}
    return [
        Case("get-service", "real.get_service", {}, (1, 2), {1: 1 / 6}),
        *register,
        Case("connect", "real.connect", {}, (1, 2), fifth),
        Case("connect-20", "real.connect", {"at_once": 20}, (1,), fifth, (*BOTH, ON_ASYNCIO)),
    ]


def _http() -> list[Case]:
    eighth = {1: 1 / 8}
    subjects = (*BOTH, ON_ASYNCIO)
    return [
        Case(f"http-{verb}-{n}", "http.call", {"post": post, "callers": n}, (1,), eighth, subjects)
        for post, verb in enumerate(("get", "post"))
        for n in (1, 16)
    ]


def _web_applications() -> list[Case]:
    gigabyte = {"megabytes": 1_074}
    return [
        Case("webapp-get-1", "webapps.get", {"callers": 1}),
        Case("webapp-get-16", "webapps.get", {"callers": 16}),
        Case("webapp-down-1g", "webapps.bulk", gigabyte, subjects=(OURS,)),
        Case("webapp-up-1g", "webapps.bulk", {**gigabyte, "up": 1}, subjects=(OURS,)),
        Case("webapp-first-byte", "webapps.first_byte", subjects=(OURS,)),
    ]


def _raw() -> list[Case]:
    pairs, alone = {"pairs": 8, "under_way": 64}, {"connections": 1, "under_way": 1}
    ways = (*BOTH, ON_ASYNCIO, HYPERCORNS_PATH)
    large = (*ways, PLAIN_MALLOC)
    return [
        Case("websocket-echo", "raw.websocket_echo", {}, subjects=ECHO_SERVERS),
        Case("websocket-echo-1", "raw.websocket_echo", alone, subjects=(BARE,)),
        Case("raw-echo", "raw.echo", {}, (1, 2)),
        Case("raw-echo-64", "raw.echo", pairs, (1, 2, 3), {}, ways),
        Case("raw-near-64", "raw.echo", {**pairs, "near": 1}, (1, 2, 3), subjects=(OURS,)),
        Case("raw-echo-500k", "raw.echo", {"under_way": 2, "kilobytes": 500}, (1, 2), {}, large),
        Case("raw-half-load", "raw.half_load", subjects=(OURS,)),
        Case("websocket-half-load", "raw.websocket_half_load", subjects=(BARE,)),
        Case("raw-get-service", "raw.get_service", {}, (1, 2)),
        Case("raw-connect", "raw.connect", {}),
        Case("raw-connect-20", "raw.connect", {"at_once": 20}),
    ]


def _event_streams() -> list[Case]:
    """Event streams, which the original does not have."""
    return [
        Case("sse-call", "sse.call", subjects=(OURS,)),
        Case("sse-idle-1000", "sse.idle", {"connections": 1_000}, subjects=(OURS,)),
    ]


def _many_clients() -> list[Case]:
    ways = (*BOTH, ON_ASYNCIO, HYPERCORNS_PATH)
    idle = [
        Case(f"idle-{n}", "raw.idle", {"connections": n}, subjects=subjects)
        for n, subjects in ((1_000, ways), (10_000, (OURS,)))
    ]
    growth = [
        Case(
            f"growth-{n}",
            "raw.echo",
            {"under_way": 5, "pairs": n // 2},
            subjects=BOTH if n <= CLIENT_LIMIT else (OURS,),
        )
        for n in (10, 100, 1_000, 10_000)
    ]
    echoes = [
        Case(
            f"websocket-growth-{n}",
            "raw.websocket_echo",
            {"under_way": 5, "connections": n},
            subjects=(BARE,),
        )
        for n in (10, 10_000)
    ]
    return [*idle, *growth, *echoes]


CASES = [
    *_calls(),
    *_registry(),
    *_http(),
    *_web_applications(),
    *_raw(),
    *_event_streams(),
    *_many_clients(),
]
