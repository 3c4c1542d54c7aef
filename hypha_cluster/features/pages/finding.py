"""Which of many services a person wants to see."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

_LONGEST: Final = 100  # characters, as the field of the form has it


def wanted_text(request: Request) -> str:
    """What the query says to look for; empty for everything."""
    return request.query_params.get("find", "").strip()[:_LONGEST]


def has_text(info: Mapping[str, str], text: str) -> bool:
    """Whether a listed service has this text in its name, or in whatever is said of it."""
    return any(text.casefold() in value.casefold() for value in info.values())
