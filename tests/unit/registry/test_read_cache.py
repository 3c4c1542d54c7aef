"""What was read a moment ago is not read again; what was not found is."""

import pytest

from hypha_cluster.protocol.limits import READ_CACHE
from hypha_cluster.registry.read_cache import LIFETIME, ReadCache


class Source:
    """Something to read, whose clock is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.value = "first"
        self.reads = 0
        self.cache = ReadCache[str](lambda: self.now)

    async def get(self, group: str = "lab", key: str = "s") -> str:
        return await self.cache.get(group, key, self._read)

    async def _read(self) -> str:
        self.reads += 1
        return self.value


@pytest.fixture
def source() -> Source:
    return Source()


async def test_it_is_read_again_after_its_lifetime(source: Source) -> None:
    assert await source.get() == "first"
    source.value = "second"

    source.now += 0.9 * LIFETIME
    assert await source.get() == "first"

    source.now += 0.1 * LIFETIME
    assert await source.get() == "second"


async def test_what_was_not_found_is_looked_for_again(source: Source) -> None:
    source.value = ""
    assert await source.get() == ""

    source.value = "found"
    assert await source.get() == "found"


async def test_a_group_is_forgotten_with_all_its_keys(source: Source) -> None:
    for key in ("a", "b"):
        await source.get("lab", key)
    await source.get("other", "a")
    source.value = "changed"

    source.cache.forget("lab")

    assert [await source.get("lab", "a"), await source.get("lab", "b")] == ["changed"] * 2
    assert await source.get("other", "a") == "first"


async def test_what_was_read_before_a_change_is_not_kept_after_it(source: Source) -> None:
    """A read is on its way while its group is forgotten."""

    async def read() -> str:
        source.now += 0.001
        source.cache.forget("lab")
        return "old"

    assert await source.cache.get("lab", "s", read) == "old"
    source.value = "new"

    assert await source.get() == "new"


async def test_it_does_not_grow_for_ever(source: Source) -> None:
    for number in range(100_000):
        await source.get(str(number))
        await source.get("many", str(number))
    before = source.reads

    await source.get("0")
    await source.get("many", "0")
    await source.get("99999")

    assert source.reads == before + 2


async def test_long_names_and_large_values_take_the_room_of_many(source: Source) -> None:
    for number in range(100):
        await source.get("lab", f"{number}".ljust(READ_CACHE // 20))
        source.value = "x" * (READ_CACHE // 20)
        await source.get("lab", f"large-{number}")
        source.value = "small"

    assert source.cache.size() <= READ_CACHE
    before = source.reads
    await source.get("lab", "large-99")
    await source.get("lab", "large-0")
    assert source.reads == before + 1


async def test_what_is_larger_than_all_of_it_is_not_kept(source: Source) -> None:
    await source.get("lab", "kept")
    source.value = "x" * READ_CACHE

    assert await source.get("lab", "huge") == source.value

    before = source.reads
    await source.get("lab", "kept")
    assert source.reads == before


async def test_what_was_read_can_be_had_at_once_as_long_as_it_holds(source: Source) -> None:
    assert source.cache.peek("lab", "s") is None
    await source.get()
    assert source.cache.peek("lab", "s") == "first"

    source.cache.forget("lab")

    assert source.cache.peek("lab", "s") is None


async def test_what_holds_no_longer_takes_no_room(source: Source) -> None:
    for number in range(10):
        await source.get("lab", str(number))
    before = source.cache.size()
    source.now += 0.5 * LIFETIME
    await source.get("lab", "later")

    source.now += 0.5 * LIFETIME

    assert 0 < source.cache.size() < before
    source.now += LIFETIME
    assert source.cache.size() == 0


async def test_changes_are_known_as_long_as_they_matter(source: Source) -> None:
    await source.get("lab")
    source.value = "changed"
    source.cache.forget("lab")
    for number in range(1_000):
        source.now += LIFETIME / 2_000
        source.cache.forget(str(number))

    assert await source.get("lab") == "changed"
