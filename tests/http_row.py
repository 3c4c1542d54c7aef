"""What a row of the table of routes says."""

from typing import Final, NamedTuple

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"


class Row(NamedTuple):
    """One request and its answer.

    route: as the code has it. status, says: of the answer; `says` is in its body. token: `member`
    for that of a member of {ws}, or text as it stands.
    """

    route: str
    method: str
    path: str
    status: int
    says: str = ""
    body: bytes | None = None
    content_type: str = JSON
    encoding: str = ""
    accept: str = ""
    token: str = ""
