"""Who comes is admitted, counted while it is there, and its frames are routed until it goes."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from hypha_cluster.clients.admission import Admission
from hypha_cluster.clients.life import ClientLife
from hypha_cluster.errors import BadRequest, HubError, InvalidToken, RedisUnavailable, TooMany
from hypha_cluster.identity.access import Identity, Origin, own_workspace
from hypha_cluster.identity.tokens import Place, Reconnection
from hypha_cluster.relay.allowance import UNBOUNDED
from hypha_cluster.relay.connection import Connection, Offer, Stage, Way
from hypha_cluster.relay.intake import Intake
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.lookup import Gatekeeper
from hypha_cluster.web.reception import Arrival, Reception
from hypha_cluster.web.sockets import LiveSocket
from tests.fakes import FakeSocket
from tests.unit.hub.test_quotas import Rig
from tests.unit.relay.test_connection import arriving

ANN = Identity("ann")
BOB = Identity("bob", origin=Origin("bob's token", 0.0))
SCOPE = {"client": ("192.0.2.1", 1)}
HERE = "address 192.0.2.1"
ASKED = {"client_id": "me"}


class Line(FakeSocket):
    """A connection that lives until it ends."""

    def __init__(self, *, is_broken: bool = False) -> None:
        super().__init__()
        self.is_broken = is_broken
        self.take: Callable[[bytes | str], None] = lambda message: None
        self.on_closed: Callable[[int, str], None] = lambda code, reason: None

    def start(self, on_message: Callable[[bytes | str], None], _on_writable: Any) -> None:
        if self.is_broken:
            raise OSError("It has ended already.")
        self.take = on_message

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        self.on_closed = on_closed


class Scene:
    """A hub with quotas; `error` is why nobody may attach, `back` who comes back."""

    def __init__(self, **terms: Any) -> None:
        self.limits = Rig(**terms)
        self.identity = ANN
        self.back: Reconnection | InvalidToken | None = None
        self.error: HubError | None = None
        self.offer = Offer.KNOWN
        self.routed: list[bytes] = []
        self.refusals: list[HubError] = []
        self.detached: list[int] = []
        self.recovering = asyncio.Event()
        self.recovered: list[str] = []
        self.socket = Line()
        parts: list[Any] = [self] * 3
        self.reception = Reception(
            cast(Gatekeeper, parts[0]),
            cast(ClientLife, parts[1]),
            cast(Intake, parts[2]),
            self._recover,
            self.limits.quotas,
            Supervisor(),
        )

    # What a gatekeeper does.

    def recognize(self, asked: Mapping[str, str]) -> Reconnection | None:
        if isinstance(self.back, InvalidToken):
            raise self.back
        return self.back

    async def admit(
        self, asked: Mapping[str, str], reconnection: Reconnection | None = None
    ) -> Admission:
        if self.error is not None:
            raise self.error
        program = "p" if reconnection is not None else ""
        return Admission(self.identity, own_workspace(self.identity), asked["client_id"], program)

    async def identify(self, token: str) -> Identity:
        if token != "ann's":
            raise InvalidToken("It is none of the hub's.")
        return ANN

    # What a life of clients does.

    async def attach(
        self, admission: Admission, socket: FakeSocket, accept: Any, way: Way
    ) -> Connection:
        if self.error is not None:
            raise self.error
        await accept()
        connection = arriving(socket, admission.client, share=admission.share)
        connection.claimed({"tool": "{}"}, self.offer)
        connection.enter(Stage.LIVE)
        return connection

    def refused(self, error: HubError) -> None:
        self.refusals.append(error)

    def keeps_place(self, connection: Connection, code: int) -> bool:
        return code != 1000

    def detach_soon(self, connection: Connection, code: int) -> None:
        self.detached.append(code)

    # What the intake does.

    def route(self, connection: Connection, frame: bytes) -> None:
        self.routed.append(frame)

    async def _recover(self, connection: Connection) -> None:
        await self.recovering.wait()
        self.recovered.append(connection.address)

    # What a test does.

    async def come(self) -> Connection:
        admission = await self.reception.admit(ASKED, SCOPE)
        return await self.reception.attach(
            Arrival(admission, cast(LiveSocket, self.socket), _accept, Way("http://hub"))
        )

    async def live(self) -> Connection:
        connection = await self.come()
        await self.reception.live(connection, cast(LiveSocket, self.socket))
        return connection


async def _accept() -> None:
    """There is no handshake."""


def returning(identity: Identity) -> Reconnection:
    return Reconnection(identity, Place(identity.id, "me", "p"))


async def test_who_comes_counts_as_a_user_and_an_address() -> None:
    scene = Scene(connections=1)

    connection = await scene.come()

    assert connection.subjects == ["user ann", HERE]
    assert connection.mail is UNBOUNDED
    for each in connection.subjects:
        with pytest.raises(TooMany):
            scene.limits.quotas.enter([each])


async def test_what_a_client_may_mail_is_known_from_its_beginning() -> None:
    scene = Scene(mail=1_000, kept_for=180)

    connection = await scene.come()

    assert connection.mail is not UNBOUNDED
    assert connection.mail.refusal() is None


async def test_who_comes_too_often_is_refused_before_anything_is_asked() -> None:
    scene = Scene(admissions_a_minute=1)
    await scene.come()
    scene.error = BadRequest("what a gatekeeper would say")

    with pytest.raises(TooMany) as refusal:
        await scene.reception.admit(ASKED, SCOPE)

    assert refusal.value.subjects is None  # so it is no client that waits


async def test_a_token_for_coming_back_that_is_none_counts_for_its_address() -> None:
    scene = Scene(admissions_a_minute=1)
    scene.back = InvalidToken("It has expired.")

    with pytest.raises(InvalidToken):
        await scene.reception.admit(ASKED, SCOPE)
    with pytest.raises(TooMany):
        await scene.reception.admit(ASKED, SCOPE)


@pytest.mark.parametrize("identity", [ANN, BOB])
async def test_who_comes_back_too_often_is_to_wait_and_not_refused(identity: Identity) -> None:
    """A refusal would end a client for good that had proved who it is."""
    scene = Scene(admissions_a_minute=1)
    scene.identity, scene.back = identity, returning(identity)
    await scene.reception.admit(ASKED, SCOPE)

    with pytest.raises(TooMany) as refusal:
        await scene.reception.admit(ASKED, SCOPE)

    assert refusal.value.subjects == [f"user {identity.id}", HERE]
    assert refusal.value.seconds > 0


async def test_who_has_a_token_counts_as_its_user_from_wherever_they_come() -> None:
    scene = Scene(admissions_a_minute=1)
    scene.identity = BOB
    await scene.reception.admit(ASKED, SCOPE)

    with pytest.raises(TooMany, match="this user"):
        await scene.reception.admit(ASKED, {"client": ("192.0.2.2", 1)})


@pytest.mark.parametrize("back", [None, returning(ANN)])
async def test_there_is_room_for_so_many_connections(back: Reconnection | None) -> None:
    scene = Scene(connections=1)
    scene.back = back
    await scene.come()

    with pytest.raises(TooMany) as refusal:
        await scene.come()

    assert refusal.value.subjects == (None if back is None else ["user ann", HERE])


async def test_who_could_not_attach_does_not_count() -> None:
    scene = Scene(connections=1)
    admission = await scene.reception.admit(ASKED, SCOPE)
    scene.error = RedisUnavailable("Redis is away.")

    with pytest.raises(RedisUnavailable):
        await scene.reception.attach(
            Arrival(admission, cast(LiveSocket, scene.socket), _accept, Way(""))
        )

    scene.error = None
    await scene.come()


async def test_who_waits_counts_as_a_connection_meanwhile() -> None:
    scene = Scene(connections=1)
    error = TooMany("Too many.", 1.0, ["user ann"])

    with scene.reception.waiting(error) as spend:
        assert spend(1, 10) == 0.0
        with pytest.raises(TooMany):
            await scene.come()

    await scene.come()


async def test_frames_are_routed_and_text_is_none() -> None:
    scene = Scene()
    await scene.live()

    for message in (b"one", "text", b"two"):
        scene.socket.take(message)

    assert scene.routed == [b"one", b"two"]


@pytest.mark.parametrize("code", [1000, 1006])
async def test_the_end_of_a_connection_detaches_its_client(code: int) -> None:
    scene = Scene(services=1, connections=1, kept_for=180)
    connection = await scene.live()
    assert connection.offered == 1

    scene.socket.on_closed(code, "")

    assert scene.detached == [code]
    assert connection.offered == (1 if code == 1006 else 0)  # who may come back has its services
    if code == 1006:
        assert (await scene.come()).offered == 1  # and they count once


async def test_a_connection_that_had_ended_before_is_detached_all_the_same() -> None:
    scene = Scene(connections=1)
    scene.socket = Line(is_broken=True)

    with pytest.raises(OSError, match="ended already"):
        await scene.live()

    assert scene.detached == [1006]
    scene.socket = Line()
    await scene.live()


async def test_who_was_forgotten_is_asked_what_it_offers() -> None:
    scene = Scene()
    scene.offer = Offer.FORGOTTEN
    scene.recovering.set()

    connection = await scene.live()
    await scene.reception._recoveries.settled()

    assert scene.recovered == [connection.address]


async def test_nobody_is_asked_who_has_gone() -> None:
    scene = Scene()
    scene.offer = Offer.FORGOTTEN
    await scene.live()

    scene.socket.on_closed(1006, "")
    await scene.reception._recoveries.settled()

    assert scene.recovered == []


async def test_who_is_known_is_asked_nothing() -> None:
    scene = Scene()
    await scene.live()

    assert not [*scene.reception._recoveries]


@pytest.mark.parametrize(("token", "whose"), [("ann's", ["user ann", HERE]), ("x", [HERE])])
async def test_what_is_posted_counts_for_who_posts_or_at_least_its_address(
    token: str, whose: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    asked: list[Any] = []
    monkeypatch.setattr(scene.limits.quotas, "allowance", lambda who: asked.append([*who]))

    await scene.reception.allowance(token, SCOPE)
    await scene.reception.allowance("", SCOPE)

    assert asked == [whose, [HERE]]


async def test_a_refusal_is_told_to_who_counts_them() -> None:
    scene = Scene()
    error = BadRequest("client_id is missing.")

    scene.reception.refused(error)

    assert scene.refusals == [error]
