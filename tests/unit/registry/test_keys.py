"""The names of keys: apart from each other, and in one slot where one script needs them."""

import inspect
import itertools
from collections.abc import Iterator

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.registry.keys import Keys

# Also words that keys are made of: a workspace may be called so.
NAMES = (
    *("a", "b", "clients", "services", "mail", "node", "public", "user", "providers", "events"),
    *("accounts", "addresses", "leases", "invitation", "told", "secret", "workspaces"),
)


def test_no_two_things_have_one_key() -> None:
    keys = Keys()
    made: dict[str, tuple[str, ...]] = {}
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if name in ("__init__", "channel", "everything", "owns"):
            continue
        parameters = list(inspect.signature(method).parameters)
        values = [_values(parameter) for parameter in parameters]
        for arguments in itertools.product(*values):
            key = method(*arguments)
            assert key not in made, (name, arguments, made.get(key))
            made[key] = (name, *arguments)


def _values(parameter: str) -> list[str]:
    if parameter == "address":
        return [f"{workspace}/{client}" for workspace in NAMES for client in NAMES]
    return list(NAMES)


def test_all_of_a_workspace_is_in_one_slot() -> None:
    keys, address = Keys(), "lab/me"
    together = [
        keys.workspace("lab"),
        keys.clients("lab"),
        keys.services("lab"),
        keys.providers("lab", "s"),
        keys.client(address),
        keys.client_services(address),
        keys.mail(address),
        keys.mail_size(address),
        keys.channel(address),
    ]

    assert {key[key.index("{") : key.index("}") + 1] for key in together} == {"{lab}"}


@pytest.mark.parametrize("prefix", ["hypha", "another"])
def test_clusters_on_one_server_are_kept_apart(prefix: str) -> None:
    keys = Keys(prefix)

    for key in (keys.workspace("a"), keys.secret(), keys.channel("a/b"), keys.node_channel("n")):
        assert key.startswith(f"{prefix}:")
    assert keys.everything() == f"{prefix}:*"


def all_keys(keys: Keys) -> Iterator[str]:
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if name not in ("__init__", "everything", "owns"):
            parameters = list(inspect.signature(method).parameters)
            for arguments in itertools.product(*map(_values, parameters)):
                yield method(*arguments)


def test_a_cluster_knows_its_own_keys_from_those_of_a_longer_prefix() -> None:
    short, long = Keys("hypha"), Keys("hypha:2")

    assert all(short.owns(key) and not long.owns(key) for key in all_keys(short))
    assert all(long.owns(key) and not short.owns(key) for key in all_keys(long))


@pytest.mark.parametrize("prefix", ["hypha:user", "a:node", "a:node:b", "x:public"])
def test_a_prefix_is_not_what_keys_of_another_cluster_begin_with(prefix: str) -> None:
    with pytest.raises(StartupError, match=f"redis_prefix .*{prefix}"):
        Keys(prefix)


def test_a_prefix_is_no_pattern() -> None:
    assert Keys("a*[b]?").everything() == r"a\*\[b\]\?:*"
