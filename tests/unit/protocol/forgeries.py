"""Frames of all kinds as a hostile program makes them, byte by byte, for tests of properties.

They are made of what the protocol knows, for bytes at random would never get past the first check.
The sender is `ann/me`; whom it may not reach are the clients of `bob`.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgpack
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Pair = tuple[bytes, bytes]

TARGETS: Final = (
    *("you", "ann/you", "me", "ann/me", "ann", "bob", "bob/you", "bob/other", "bob/you/x", "/you"),
    *("workspace-manager", "bob/workspace-manager", "bob/~node", "~node", "", "a:b", "bob/", "/"),
)
METHODS: Final = (
    *("services.tool.run", "services.closed.delete", "services", "services.", "a.b.resolve"),
    *("s.resolve", "s.reject", "services.built-in.ping", "services.built-in.register_service"),
    *("services.built-in.get_service", "services.tool.__enter__", "services.tool.f.__globals__"),
    *("services.built-in.message_cache", "a.__class__", "a._b", "a.timer.reset", "x.constructor"),
    "a.prototype.b",
)
TYPES: Final = ("method", "event", "disconnect", "service-updated", "", "__proto__")
KEYS: Final = (
    *("_rtype", "_rtarget", "_rmethod", "_rvalue", "_rpromise", "__proto__", "x", "read", ""),
)
FIELDS: Final = (
    *("type", "to", "from", "user", "ctx", "ws", "method", "session", "parent", "args", "promise"),
    *("with_kwargs", "workspace", "reply_to", "__proto__"),
)


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def spelled(text: str, way: int = 0) -> bytes:
    """A text in one of the ways that msgpack has to write it."""
    raw = text.encode()
    size = len(raw)
    ways = [bytes((0xA0 | size,))] if size < 32 else []
    ways += [b"\xd9" + size.to_bytes(1)] if size < 256 else []
    return (ways + [b"\xda" + size.to_bytes(2), b"\xdb" + size.to_bytes(4)])[way % 2] + raw


def a_list(items: Iterable[bytes]) -> bytes:
    items = list(items)
    return b"\xdc" + len(items).to_bytes(2) + b"".join(items)


def a_map(pairs: Iterable[Pair]) -> bytes:
    """Keys may come twice."""
    pairs = list(pairs)
    size = len(pairs)
    head = bytes((0x80 | size,)) if size < 16 else b"\xde" + size.to_bytes(2)
    return head + b"".join(key + value for key, value in pairs)


WAYS: Final = st.sampled_from((0, 0, 0, 0, 0, 0, 1))


def texts(*known: str) -> SearchStrategy[bytes]:
    return st.builds(spelled, st.sampled_from(known), WAYS)


def pairs(*known: tuple[str, SearchStrategy[bytes]]) -> SearchStrategy[list[Pair]]:
    return st.tuples(*(st.tuples(texts(key), value) for key, value in known)).map(list)


def function() -> SearchStrategy[bytes]:
    """A function of somebody's, as clients write it, or with its entries in another order."""
    entries = pairs(
        ("_rtype", texts("method", "method", "method", "iostream")),
        ("_rtarget", texts(*TARGETS)),
        ("_rmethod", texts(*METHODS)),
    )
    more = st.lists(st.tuples(texts(*KEYS), texts(*TARGETS, *METHODS)), max_size=2)
    whole = st.builds(lambda entries, more: entries + more, entries, more)
    return st.one_of(entries, whole, whole.flatmap(st.permutations)).map(a_map)


def values() -> SearchStrategy[bytes]:
    """Values of any depth with functions among them."""
    numbers = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats())
    plain = st.one_of(numbers, st.text(max_size=5), st.binary(max_size=20)).map(pack)
    odd = st.sampled_from(
        (
            *(pack(b"\xa8_rtarget" + pack("bob/you")), pack(msgpack.ExtType(5, b"_rtarget"))),
            *(pack("_rtarget"), pack(msgpack.Timestamp(1, 1)), b"\xd4\xff\0", b"\xc1", b"\xa1\xff"),
        )
    )
    leaf = st.one_of(plain, function(), function(), texts(*KEYS), odd)
    keys = st.one_of(texts(*KEYS), st.text(max_size=3).map(pack), st.sampled_from((b"\1", b"\xc0")))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(a_list),
            st.lists(st.tuples(keys, inner), max_size=3).map(a_map),
        ),
        max_leaves=6,
    )


def promise() -> SearchStrategy[bytes]:
    own = st.sampled_from(("me", "ann/me")).flatmap(lambda target: _promise_to(target))
    return st.one_of(own, own, values())


def _promise_to(target: str) -> SearchStrategy[bytes]:
    callback = pairs(
        *(("_rtype", texts("method")), ("_rtarget", texts(target))),
        ("_rmethod", texts("s.resolve", *METHODS)),
    ).map(a_map)
    others = st.lists(st.tuples(texts(*KEYS), values()), max_size=1)
    callbacks = pairs(("resolve", callback), ("reject", callback))
    return st.builds(lambda known, more: a_map(known + more), callbacks, others)


def envelope(*methods: str, types: tuple[str, ...] = ("method",)) -> SearchStrategy[list[Pair]]:
    known = pairs(
        ("type", texts(*types)), ("to", texts(*TARGETS)), ("method", texts(*(methods or METHODS)))
    )
    forged = st.lists(
        st.tuples(texts(*FIELDS), st.one_of(texts(*TARGETS, *METHODS), values())), max_size=3
    )
    return st.builds(lambda known, forged: known + forged, known, forged)


def body() -> SearchStrategy[list[Pair]]:
    args = st.lists(values(), max_size=3).map(a_list)
    known = st.one_of(pairs(("args", args)), pairs(("args", args), ("promise", promise())))
    forged = st.lists(st.tuples(texts(*FIELDS), values()), max_size=2)
    return st.one_of(known, known, st.builds(lambda known, forged: known + forged, known, forged))


def call() -> SearchStrategy[bytes]:
    return st.builds(lambda head, rest: a_map(head) + a_map(rest), envelope(), body())


def event() -> SearchStrategy[bytes]:
    more = st.one_of(st.just(b""), body().map(a_map))
    return st.builds(lambda head, rest: a_map(head) + rest, envelope(types=TYPES), more)


def broken(whole: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Frames with something done to them, and what is no frame at all."""

    def cut(data: bytes, at: int) -> bytes:
        return data[: at % (len(data) + 1)]

    def changed(data: bytes, at: int, new: bytes) -> bytes:
        at %= len(data) or 1
        return data[:at] + new + data[at + len(new) :]

    def inserted(data: bytes, at: int, new: bytes) -> bytes:
        at %= len(data) or 1
        return data[:at] + new + data[at:]

    at, new = st.integers(0, 2_000), st.binary(min_size=1, max_size=4)
    ways: list[SearchStrategy[bytes]] = [
        st.builds(cut, whole, at),
        st.builds(changed, whole, at, new),
        st.builds(inserted, whole, at, new),
        st.binary(max_size=60),
    ]
    return st.one_of(*ways)


def pieces(data: bytes) -> SearchStrategy[list[bytes]]:
    """The same bytes in parts of any size."""
    cuts = st.lists(st.integers(0, len(data)), max_size=8).map(sorted)
    return cuts.map(lambda at: [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)])


Check = Callable[[bytes], None]
