"""Every script says what it takes and does, and is known by its name."""

import re

import pytest

from hypha_cluster.links.client import script_hash
from hypha_cluster.registry.keys import HOLDER
from hypha_cluster.registry.scripts import Script, read_script, read_scripts
from tests.fake_redis import FakeRedis

NAMES = sorted(read_scripts())


@pytest.mark.parametrize("name", NAMES)
def test_a_script_begins_with_what_it_does_and_takes(name: str) -> None:
    text = read_script(name).decode()
    legend = text[: re.search(r"^(?!--)", text, re.MULTILINE).start()]  # type: ignore[union-attr]

    assert "-- KEYS" in legend
    assert ("ARGV" in text.removeprefix(legend)) == ("-- ARGV" in legend)


def test_no_two_scripts_are_the_same() -> None:
    assert len({script_hash(script) for script in read_scripts().values()}) == len(NAMES)


async def test_a_script_is_called_by_its_name(fake: FakeRedis) -> None:
    fake.answers["settle"] = [b"s", b""]

    assert await Script(fake.client, "settle")(["key"], ["a", 1]) == [b"s", b""]

    assert fake.sent == [("settle", ("key", "a", 1))]


@pytest.mark.parametrize("name", [name for name in NAMES if b"HOLDER" in read_script(name)])
def test_a_script_names_the_field_of_a_holder_as_the_code_does(name: str) -> None:
    assert f"local HOLDER = '{HOLDER}' -- as keys.py says\n" in read_script(name).decode()


def test_no_script_names_that_field_otherwise() -> None:
    assert all(text.count(b"'owner'") <= 1 for text in read_scripts().values())
