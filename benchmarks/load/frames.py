"""Reads, checks and seals frames with the hub on its path, as often as its standard input says.

Each line names a frame and a number of times; the answer is the CPU that one frame took, in µs. The
hub may be an older one, so this uses only what all commits since 3776f15 have.
"""

import inspect
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from hypha_cluster.protocol import guard
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack

WORKSPACE = "ws-0123456789abcdef0123"
CALLER, CALLEE = f"{WORKSPACE}/caller-012345", f"{WORKSPACE}/callee-012345"
SESSION = "3jNvsession0123456789s"
MOST = 1_000_000  # bytes of a frame
USER: dict[str, Any] = {
    **{"id": "user", "roles": [], "is_anonymous": True, "email": None, "parent": None},
    **{"scopes": [], "expires_at": None},
}


def _function(name: str, *, promise: bool = False) -> dict[str, Any]:
    method = f"{SESSION}.{name}"
    target = CALLER.partition("/")[2]
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": promise}


def _frame(method: str, body: dict[str, Any], **more: str) -> bytes:
    main = {"type": "method", "from": CALLER, "to": CALLEE, "method": method}
    return pack({**main, **more}) + pack(body)


def _call(*args: Any) -> bytes:
    """As published clients make it."""
    heartbeat = _function("Zget-reset", promise=True)
    promise = {
        "heartbeat": {**heartbeat, "_rsig": "method()", "_rdoc": "Reset the timer."},
        "interval": 15.0,
        "resolve": _function("resolve"),
        "reject": _function("reject"),
    }
    body = {"args": list(args), "promise": promise}
    return _frame("services.s.echo", body, session=SESSION)


def frames() -> dict[str, bytes]:
    """All that are measured, by their names."""
    chance = random.Random(0)
    records = [{"id": n, "name": f"item {n}", "x": n / 3, "tags": ["a", "b"]} for n in range(5_000)]
    return {
        "call, 64 bytes": _call("x" * 64),
        "its answer": _frame(f"{SESSION}.resolve", {"args": ["x" * 64]}, parent=SESSION),
        "call with a callback": _call("x" * 64, _function("then", promise=True)),
        "call, 16 KiB": _call(bytes(16_384)),
        "call, 500 kB of bytes": _call(chance.randbytes(500_000)),
        "call, 500 kB of text": _call("lorem ipsum " * 42_000),
        "call, 10,000 floats": _call([n / 7 for n in range(10_000)]),
        "call, 5,000 records": _call(records),
        "call, 15,000 points": _call([[chance.random(), chance.random()] for _ in range(15_000)]),
    }


def passing() -> Callable[[bytes], bytes]:
    """What the hub does with a frame before it hands it over."""
    reader, seal = FrameReader(MOST), Seal(CALLER, USER)
    check: Callable[..., Any] = guard.check_call
    knows_target = "target" in inspect.signature(check).parameters

    def pass_on(raw: bytes) -> bytes:
        frame = reader.read(raw)
        if knows_target:
            return seal.call(frame.envelope, check(frame, CALLER, CALLEE)[0])
        return seal.call(frame.envelope, check(frame, CALLER))

    return pass_on


def main() -> None:
    """Answer until there is nothing more to read."""
    pass_on, all_frames = passing(), frames()
    for line in sys.stdin:
        name, _, times = line.strip().rpartition(" ")
        raw, count = all_frames[name], int(times)
        began = time.process_time()
        for _ in range(count):
            pass_on(raw)
        each = (time.process_time() - began) / count
        sys.stdout.write(f"{each * 1e6}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
