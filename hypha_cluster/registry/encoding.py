"""How values stand in Redis: text as bytes, infos as JSON, times in milliseconds."""

import time
from collections.abc import Mapping, Sequence

Infos = dict[str, str]  # service id → service info as JSON


def now_ms() -> int:
    return int(time.time() * 1000)


def flatten(mapping: Mapping[str, str]) -> list[str]:
    """Keys and values in turn, as scripts take them."""
    return [item for pair in mapping.items() for item in pair]


def pairs(items: Sequence[bytes]) -> Infos:
    """What a script answers as keys and values in turn."""
    return {
        key.decode(): value.decode() for key, value in zip(items[::2], items[1::2], strict=True)
    }


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
