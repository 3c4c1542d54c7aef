"""Ids of apps, and names of their files."""

import hashlib
import re
from typing import Final

from hypha_cluster.errors import BadRequest
from hypha_cluster.identity.names import check_service_id
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import NAME

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # base58 of Bitcoin
_SHA2_256: Final = b"\x12\x20"  # of a multihash: the function, and the length of the digest
_PART: Final = re.compile(r"[^\\/%?#\x00-\x1f\x7f-\x9f]+")


def multihash(source: bytes) -> str:
    """The sha2-256 multihash of a source in base58; it begins with Qm."""
    number = int.from_bytes(_SHA2_256 + hashlib.sha256(source).digest())
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def split_app_id(app_id: object) -> tuple[str, str]:
    """The workspace and the key of an app; BadRequest."""
    if not isinstance(app_id, str) or app_id.count("/") != 1 or "" in app_id.split("/"):
        raise BadRequest(f"Invalid app id: {shown(app_id)}, the correct format is `user-id/app-id`")
    workspace, key = app_id.split("/")
    return workspace, key


def check_key(key: object) -> str:
    """An id that somebody gives an app; BadRequest."""
    if not isinstance(key, str) or key.startswith("~"):
        raise BadRequest(f"An id of an app is text that begins with no '~', not {shown(key)}.")
    check_service_id(key)
    return key


def check_file_name(name: object) -> str:
    """The name of a file of an app, which may have folders; BadRequest."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME:
        raise BadRequest(
            f"The name of a file is text of 1 to {NAME} characters, not {shown(name)}."
        )
    parts = name.split("/")
    if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise BadRequest(
            f"{shown(name)} cannot be the name of a file: write it like data/a.txt, without '..', "
            "'\\', '%', '?' or '#', and with no '/' at its ends."
        )
    if parts[0].startswith("~"):
        raise BadRequest(f"The name of a file begins with no '~', unlike {shown(name)}.")
    return name
