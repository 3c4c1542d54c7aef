"""What was read a moment ago is not read again; what was not found is."""

import pytest

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


async def test_it_does_not_grow_for_ever(source: Source) -> None:
    for number in range(2_000):
        await source.get(str(number))
        await source.get("many", str(number))
    before = source.reads

    await source.get("0")
    await source.get("many", "0")

    assert source.reads == before + 2
