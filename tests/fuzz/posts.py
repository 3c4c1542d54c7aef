"""What is posted for an event stream, and how one is asked for."""

from typing import Any, Final, cast

from hypha_cluster.errors import HubError
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.limits import TAILS
from hypha_cluster.protocol.room import Room as TailRoom
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.tail import Tail
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.event_stream import Beginning, EventStream
from hypha_cluster.web.posting import Here, Posting, read_query
from hypha_cluster.web.sse import read_stream
from tests.frame_path import ME, FramePath
from tests.fuzz.parts import check_refusal, lines, request, run
from tests.passed import check_frame, check_whole

_SESSION: Final = "0123456789"
_TOKEN: Final = "token"  # of nobody
_QUERY: Final = f"session_id={_SESSION}&token={_TOKEN}".encode()
_ANY: Final = cast(Any, None)


class Nowhere:
    """No other gateway has a stream."""

    async def find(self, digest: str) -> str | None:
        return None


def posts(data: bytes) -> None:
    """A query, the headers that count, and a body, each but the last on a line of its own."""
    query, authorization, encoding, last, body = lines(data, 4)
    asked = request(
        query,
        body,
        authorization=authorization,
        content_encoding=encoding,
        last_event_id=last,
    )
    try:
        read_stream(asked)
        fields = read_query(asked).fields
    except HubError as error:
        check_refusal(error)
        return
    path = run(_post(asked))
    if path.passed or path.to_hub or path.whole:
        assert fields["session_id"] == _SESSION
        assert fields["token"] == _TOKEN
        assert fields.get("client_id", "") in ("", "me")
        assert fields.get("workspace", "") in ("", "ann")
    for passed in path.passed:
        check_frame(passed)
    for whole in path.whole:
        check_whole(whole)


async def _unbounded(token: str, scope: Any) -> Allowance:
    return UNBOUNDED


async def _post(asked: Any) -> FramePath:
    """Have it taken where one client has its stream."""
    path, supervisor = FramePath(), Supervisor()
    posting = Posting(cast(Any, Nowhere()), _ANY, 100_000, Room(), Counts(), supervisor)
    key = read_query(request(_QUERY)).key
    beginning = Beginning(key, 1.0, Tail(None, TailRoom(TAILS)))
    stream = EventStream(beginning, {"http_version": "1.1"}, _ANY, _ANY, supervisor)
    stream.postbox.open(lambda message: path.route(cast(bytes, message)))
    posting.open(key, Here(ME, stream))
    try:
        response = await posting.serve(asked, _unbounded)
        assert response.status_code == 200
    except HubError as error:
        check_refusal(error)
    return path
