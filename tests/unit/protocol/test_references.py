"""Functions among values: those that lead to another workspace are found, whoever hides them."""

import random
from collections.abc import Callable
from typing import Any, Final

import msgpack
import pytest

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.limits import FUNCTION_TEXT, REFERENCES
from hypha_cluster.protocol.references import Reference, References

ME, YOU = "home/me", "away/you"
FOREIGN: Final = {Reference("away/other", "closed")}


def function(target: Any, method: Any = "services.closed.delete", **more: Any) -> dict[str, Any]:
    return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": True, **more}


def found(value: object, target: str = YOU) -> set[Reference]:
    return References(ME, target).feed(msgpack.packb(value))


def test_a_function_of_another_workspace_is_found() -> None:
    assert found(function("away/other")) == FOREIGN
    assert found(function("away/you", "services.closed")) == {Reference("away/you", "closed")}
    assert found(function("away/~node", "services.default.set")) == {
        Reference("away/~node", "default")
    }


@pytest.mark.parametrize("target", [ME, "me", "home/other", "other", "workspace-manager"])
def test_functions_of_the_senders_own_workspace_are_the_senders_to_give(target: str) -> None:
    assert found([function(target), {"x": function(target, _rdoc="says")}]) == set()


def test_a_callback_is_guarded_by_whoever_offers_it() -> None:
    assert found(function("away/other", "3jNv7.Zget-progress")) == set()


WAYS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "an argument": lambda f: [2, f],
    "a keyword": lambda f: [{"callback": f}],
    "deep": lambda f: {"a": [{"b": [[[{"c": f}]]]}]},
    "behind an own one": lambda f: [function(ME), function("me"), f],
    "behind what looks like one": lambda f: [b"\xa8_rtarget", "_rtarget", f],
    "with more in it": lambda f: {**f, "_rdoc": "x" * 1_000, "_rsig": None},
    "in a file": lambda f: {"_rtype": "iostream", "_rnative": "js:blob", "read": f},
    "twice in one map": lambda f: {"a": function("away/other", "services.closed.x"), "b": f},
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_wherever_it_is(way: str) -> None:
    assert found(WAYS[way](function("away/other"))) == FOREIGN


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_found_in_parts_of_any_size(way: str, seed: int) -> None:
    message = msgpack.packb([b"x" * 300, WAYS[way](function("away/other")), b"y" * 300])
    chance = random.Random(seed)
    references, all_found, at = References(ME, YOU), set(), 0

    while at < len(message):
        size = chance.choice([1, 1, 2, 5, 20, 100])
        all_found |= references.feed(message[at : at + size])
        at += size

    assert all_found == FOREIGN


def test_what_is_kept_of_parts_is_short() -> None:
    references = References(ME, YOU)
    for _ in range(50):
        references.feed(bytes(100_000) + b"\xa8_rtar")

    assert len(references._kept) < 100


# Clients read the name of the sender's workspace as a client's of their own.


def test_the_bare_name_of_the_senders_workspace_leads_to_the_receivers() -> None:
    assert found(function("home")) == {Reference("away/home", "closed")}
    assert found(function("home"), target="home/you") == set()


def packed_map(*entries: Any) -> bytes:
    """A map as it is given, also with one key twice."""
    packed: bytes = msgpack.Packer().pack_map_header(len(entries) // 2)
    return packed + b"".join(
        entry if isinstance(entry, bytes) else msgpack.packb(entry) for entry in entries
    )


TYPE: Final = ("_rtype", "method")
ODD: Final = {
    "no type": packed_map("_rtarget", "away/other", "_rmethod", "services.closed.x"),
    "the type last": packed_map("_rtarget", "away/other", "_rmethod", "services.closed.x", *TYPE),
    "the method first": packed_map(*TYPE, "_rmethod", "services.closed.x", "_rtarget", "away/o"),
    "something between": packed_map(
        *TYPE, "_rtarget", "away/other", "x", 1, "_rmethod", "services.closed.x"
    ),
    "a target twice": packed_map(
        *TYPE, "_rtarget", ME, "_rmethod", "services.closed.x", "_rtarget", "away/other"
    ),
    "a method from another map": packed_map(
        "_rmethod", "services.closed.x", "x", packed_map(*TYPE, "_rtarget", "away/other"),
    )
    + msgpack.packb("_rmethod") + msgpack.packb("services.open.x"),
    "a long key": packed_map(
        *TYPE, b"\xd9\x08_rtarget", "away/other", "_rmethod", "services.closed.x"
    ),
    "a longer key": packed_map(
        *TYPE, b"\xdb\0\0\0\x08_rtarget", "away/other", "_rmethod", "services.closed.x"
    ),
    "no method": packed_map(*TYPE, "_rtarget", "away/other", "_rpromise", True, "x", 1),
    "a map among what describes it": packed_map(
        *TYPE, "_rtarget", "away/other", "_rmethod", "services.open.x", "x", {"_rmethod": 1}
    ),
    "no method as text": packed_map(*TYPE, "_rtarget", "away/other", "_rmethod", 5),
    "a target without end": packed_map(
        *TYPE, "_rtarget", "away/" + "x" * FUNCTION_TEXT, "_rmethod", "services.closed.x"
    ),
    "a method without end": packed_map(
        *TYPE, "_rtarget", "away/other", "_rmethod", "services." + "x" * FUNCTION_TEXT
    ),
}  # fmt: skip


@pytest.mark.parametrize("oddity", ODD)
def test_one_that_is_written_as_no_client_writes_it_is_refused(oddity: str) -> None:
    with pytest.raises(BadFrame, match="function"):
        References(ME, YOU).feed(b"\x92\x01" + ODD[oddity] + bytes(20_000))


@pytest.mark.parametrize("target", [["away/other"], b"away/other", 5, None, {"a": "away/other"}])
def test_clients_make_nothing_of_a_target_that_is_no_text(target: Any) -> None:
    assert found([function(target), 1]) == set()


@pytest.mark.parametrize("oddity", ["no type", "the type last", "a long key", "something between"])
def test_the_senders_own_may_be_written_in_any_order(oddity: str) -> None:
    message = ODD[oddity].replace(b"\xaaaway/other", b"\xa7home/me")

    assert References(ME, YOU).feed(message) == set()


def test_a_later_method_of_the_same_function_does_not_count_for_less() -> None:
    twice = packed_map(
        *TYPE, "_rtarget", "away/other", "_rmethod", "services.open.x",
        "_rmethod", "services.closed.x",
    )  # fmt: skip

    with pytest.raises(BadFrame, match="once"):
        References(ME, YOU).feed(twice)


def test_no_message_has_functions_of_others_without_end() -> None:
    with pytest.raises(BadFrame, match=f"at most {REFERENCES:,}"):
        found([function("away/other")] * (REFERENCES + 1))

    assert found([function("away/other")] * REFERENCES) == FOREIGN
    assert found([function(ME), function("me"), function("home/other")] * REFERENCES) == set()


def test_data_that_only_looks_like_a_function_passes() -> None:
    source = "target_id = encoded_method['_rtarget']"
    names = ["_rtype", "_rtarget", "_rmethod"]

    assert found([source, names, {"a": "_rtarget"}, b"Z\x08_rtarget\x94", b"\xa8_rtarget"]) == set()
