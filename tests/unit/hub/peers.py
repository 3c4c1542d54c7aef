"""The hub as a peer, and clients that it calls, without a network between them."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

from hypha_cluster.errors import ClientNotFound, HubError
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.replies import Replies
from hypha_cluster.hub.services import HubServices
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.tracing import NullTracer
from hypha_cluster.supervision import Supervisor
from tests.raw_client import promise_of

NODE = "node"
MAX_MESSAGE = 64 * 1024 * 1024


class FakeClient:
    """Does with each frame what it is told, and shows all that came."""

    def __init__(self, hub: "FakeHub", address: str) -> None:
        self.address = address
        self.received: list[Frame] = []
        self.came = asyncio.Event()
        self.on_call: Callable[[Frame], None] = lambda frame: None
        self._hub = hub
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()

    def take(self, frame: Frame) -> None:
        self.received.append(frame)
        self.came.set()
        session, _, verb = frame.envelope["method"].rpartition(".")
        if session in self._answers:
            answer = self._answers.pop(session)
            value = frame.body["args"][0]
            if verb == "resolve":
                answer.set_result(value)
            else:
                answer.set_exception(HubError(value["_rvalue"]))
        else:
            self.on_call(frame)

    async def has(self, count: int) -> list[Frame]:
        """Wait until so many frames have come."""
        while len(self.received) < count:
            self.came.clear()
            await self.came.wait()
        return self.received

    def say(self, to: str, method: str, body: dict[str, Any], **fields: Any) -> None:
        envelope = {"type": "method", "to": to, "method": method, **fields}
        frame = FrameReader(MAX_MESSAGE).read(pack(envelope) + pack(body))
        self._hub.client.receive(frame, self.address, to)

    def resolve(self, call: Frame, value: Any = None) -> None:
        reference = call.body["promise"]["resolve"]
        self.say(reference["_rtarget"], reference["_rmethod"], {"args": [value]})

    def begin(self, reference: dict[str, Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function of the hub's; answer what will be its result."""
        body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": [*args]}
        session = f"s{next(self._numbers)}"
        answer = self.expect(session)
        promise = promise_of(self.address, session)
        to, method = reference["_rtarget"], reference["_rmethod"]
        self.say(to, method, {**body, "promise": promise}, session=session)
        return answer

    def expect(self, session: str) -> asyncio.Future[Any]:
        """What will be the answer to a call of this session."""
        answer = self._answers[session] = asyncio.get_running_loop().create_future()
        return answer

    def packed(self, reference: dict[str, Any], *args: Any, session: str) -> bytes:
        """A call, as it travels in chunks."""
        to, method = reference["_rtarget"], reference["_rmethod"]
        envelope = {"type": "method", "to": to, "method": method, "session": session}
        body = {"args": list(args), "promise": promise_of(self.address, session)}
        return pack(envelope) + pack(body)


class FakeHub:
    """Everything of the hub but the relay. call_timeout: seconds.

    prompt: whether what a session offers may begin outside of any task.
    """

    prompt = False

    def __init__(self, call_timeout: float = 30.0) -> None:
        self.supervisor = Supervisor()
        self.clients: dict[str, FakeClient] = {}
        delivery = cast(Delivery, self)
        self.calls = HubCalls(NODE, delivery, NullTracer(), call_timeout, self.supervisor, 2**20)
        functions = OwnFunctions(
            HubServices(), cast(Directory, None), Connections(1, 1.0), cast(Workspaces, None)
        )
        replies = Replies(delivery, self.supervisor)
        self.client = HubClient(replies, self.calls, functions, NullTracer(), MAX_MESSAGE)

    def connect(self, address: str) -> FakeClient:
        self.clients[address] = FakeClient(self, address)
        return self.clients[address]

    # The relay, as the hub sees it.

    def send(
        self,
        target: str,
        frame: bytes,
        reject: Callable[[HubError], None] | None = None,
        mail: Allowance = UNBOUNDED,
    ) -> None:
        client = self.clients.get(target)
        if client is not None:
            read = FrameReader(MAX_MESSAGE).read(frame)
            asyncio.get_running_loop().call_soon(client.take, read)
        elif reject is not None:
            reject(ClientNotFound(f"Client not found: {target}"))

    def answer(self, target: str, frame: bytes) -> None:
        self.send(target, frame)
