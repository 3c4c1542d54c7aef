"""What follows calls where nothing is traced: every frame passes as it is."""

from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.relay.tracing import NullTracer, Tracer

ENVELOPE = {"type": "method", "to": "ann/you", "method": "services.tool.run", "session": "s"}


def test_nothing_is_changed() -> None:
    tracer: Tracer = NullTracer()
    frame = Frame(ENVELOPE, {}, b"", b"")

    assert tracer.take(frame, "ann/me", b"sealed", waits=True) == b"sealed"
    assert tracer.relay(b"sealed", "ann/you") == b"sealed"
    assert tracer.deliver(ENVELOPE, "ann/you", b"sealed") == b"sealed"
    assert tracer.send(ENVELOPE, b"sealed") == b"sealed"
    with tracer.place(ENVELOPE), tracer.answer(ENVELOPE, "ann/me"):
        tracer.answered("ann/you", "ann/me", "s.resolve")
        tracer.forget("ann/me")
