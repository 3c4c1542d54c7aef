"""Signatures of functions, as far as every published client can read them.

From 0.5.38 on clients read `_rsig`; up to 0.5.47 one that they cannot read costs the whole answer
(protocol.md 3.2). What passes here, the parsers of all of them read alike.
"""

import ast
import re
from functools import lru_cache
from keyword import iskeyword
from typing import Any, Final, NamedTuple

from hypha_cluster.protocol.limits import KNOWN_SIGNATURES, SIGNATURE

_NAME: Final = r"[^\W\d]\w*"
_TYPE: Final = r"\w+(?:\[\w+(?:, \w+)*\])?"
_NUMBER: Final = r"-?(?:0|[1-9]\d{0,18})(?:\.\d{1,20})?(?:e[+-]\d{1,3})?"
# No comma, colon, `=` or `>`, at which they take a signature apart, and no bracket.
_TEXT: Final = r"'(?:[^'\"\\,:=>\[\]\n]|\\[nrt\\])*'"
_LIST: Final = rf"\[(?:{_NUMBER}(?:, {_NUMBER})*)?\]"
_DEFAULT: Final = rf"(?:True|False|None|{_NUMBER}|{_TEXT}|{_LIST})"
_PARAMETER: Final = re.compile(rf"({_NAME})(?:: ({_TYPE}))?(?: ?= ?({_DEFAULT}))?|(\*\*?)({_NAME})")
_BETWEEN: Final = re.compile(r", (?![^\[\]]*\])")  # not within brackets
_SIGNATURE: Final = re.compile(rf"\w+\((.*)\)(?: -> {_TYPE})?")


class Parameter(NamedTuple):
    """One of a signature. stars: what is before its name. type, default: as they are written."""

    name: str
    stars: str
    type: str
    default: str | None

    def value(self) -> Any:
        """What the default is; None if there is none, too."""
        return None if self.default is None else ast.literal_eval(self.default)


def is_readable(signature: object) -> bool:
    """Whether every release reads it, such as `work(a, b: int = 2, *args, **kwargs) -> str`."""
    return isinstance(signature, str) and len(signature) <= SIGNATURE and _is_readable(signature)


@lru_cache(maxsize=KNOWN_SIGNATURES)
def _is_readable(signature: str) -> bool:
    return parameters(signature) is not None


def parameters(signature: object) -> list[Parameter] | None:
    """Those of a signature that every release reads; None for others."""
    if not isinstance(signature, str) or len(signature) > SIGNATURE:
        return None
    whole = _SIGNATURE.fullmatch(signature)
    if whole is None:
        return None
    found = []
    for text in _BETWEEN.split(whole[1]) if whole[1] else ():
        parts = _PARAMETER.fullmatch(text)
        if parts is None:
            return None
        found.append(Parameter(parts[1] or parts[5], parts[4] or "", parts[2] or "", parts[3]))
    names = [parameter.name for parameter in found]
    stars = [parameter.stars for parameter in found]
    return found if _are_names(names) and _are_in_order(stars) else None


def _are_names(names: list[str]) -> bool:
    return len(names) == len(set(names)) and not any(map(iskeyword, names))


def _are_in_order(stars: list[str]) -> bool:
    """Whether `*args` and `**kwargs` stand at the end, and each at most once."""
    return stars == sorted(stars) and all(stars.count(each) < 2 for each in ("*", "**"))
