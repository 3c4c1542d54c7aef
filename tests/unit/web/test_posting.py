"""What a request says of the client that posts, or opens a stream."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from starlette.requests import Request

from hypha_cluster.errors import BadRequest, InvalidToken, NotFound
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.streams import Streams
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.posts import Posts
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.posting import Asked, Posting, read_query

SESSION = b"session_id=0123456789"


def read(query: bytes, authorization: bytes = b"") -> Asked:
    headers = [(b"authorization", authorization)] if authorization else []
    return read_query(Request({"type": "http", "query_string": query, "headers": headers}))


def test_the_key_is_of_the_session_and_the_token() -> None:
    keys = {
        read(SESSION).key,
        read(SESSION + b"0").key,
        read(SESSION + b"&token=mine").key,
        read(SESSION + b"&token=yours").key,
        read(SESSION + b"mine").key,
    }

    assert len(keys) == 5
    assert "0123456789" not in "".join(keys)


def test_a_token_may_be_in_a_header() -> None:
    in_query = read(SESSION + b"&token=mine")

    assert read(SESSION, b"Bearer mine") == in_query
    assert read(SESSION, b"mine") == in_query
    assert read(SESSION + b"&token=mine", b"Bearer another").key == in_query.key
    assert in_query.fields["token"] == "mine"
    with pytest.raises(InvalidToken):
        read(SESSION, b"Bearer one two")


def test_the_last_of_several_counts_and_whatever_else_is_there_does_not_change_the_key() -> None:
    asked = read(b"client_id=a&client_id=b&" + SESSION + b"&reconnection_token=r&x=\xff")

    assert asked.fields["client_id"] == "b"
    assert asked.key == read(SESSION).key


@pytest.mark.parametrize(
    "query", [b"", b"session_id=", b"session_id=1234567", b"session_id=" + b"x" * 257, b"\xff"]
)
def test_a_session_has_its_bounds(query: bytes) -> None:
    with pytest.raises(BadRequest, match="8 to 256 characters"):
        read(query)


async def unbounded(token: str, scope: Mapping[str, Any]) -> Allowance:
    return UNBOUNDED


class Nowhere:
    """Streams of nobody, and how often they were looked for."""

    looked = 0

    async def find(self, digest: str) -> str | None:
        self.looked += 1
        return None


async def test_a_session_that_nobody_has_is_looked_for_once() -> None:
    nowhere, supervisor = Nowhere(), Supervisor()
    posts = cast(Posts, None)
    posting = Posting(cast(Streams, nowhere), posts, 1000, Room(), Counts(), supervisor)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"frame", "more_body": False}

    scope = {"type": "http", "method": "POST", "query_string": SESSION, "headers": []}
    with pytest.raises(NotFound, match="no stream with this session_id"):
        await posting.serve(Request(scope, receive), unbounded)

    assert nowhere.looked == 1
