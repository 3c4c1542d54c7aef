"""What a published client makes of a frame: by its own decoder, which knows nothing of ours."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgpack


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The client's modules set up logging, and warn of a library of theirs."""
    nothing = logging.NullHandler()
    logging.root.addHandler(nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.root.removeHandler(nothing)


with _quietly():
    from imjoy_rpc.hypha import rpc

logging.getLogger("RPC").setLevel(logging.CRITICAL)


_CALLBACKS = ("resolve", "reject", "heartbeat")  # all that it uses of a promise


class Function(NamedTuple):
    """What a client would call if a function among the values it got is called."""

    target: object
    method: object


class Heard(NamedTuple):
    """What a client does with a frame.

    message: as it takes it. context: what its functions see of who calls. functions: those that it
    makes of values. callbacks: by which it answers.
    """

    message: dict[str, Any]
    context: dict[str, Any]
    functions: list[Function]
    callbacks: list[Function]


rpc.make_signature = lambda *_, **__: None  # that is for people, and takes longer than all else


class Receiver(rpc.RPC):  # type: ignore[misc]  # it has no types
    """imjoy-rpc 0.5.59, with no connection, which notes what it would do instead of doing it."""

    def __init__(self, address: str) -> None:
        workspace, _, client = address.partition("/")
        super().__init__(None, client_id=client or "-", workspace=workspace, loop=object())
        self._heard: list[dict[str, Any]] = []
        self._found: list[Function] = []

    def take(self, sealed: bytes) -> Heard:
        """Read a frame as it comes by the network."""
        self._on_message(sealed)
        return self._understand(self._heard.pop())

    def take_chunks(self, message: bytes, context: dict[str, Any]) -> Heard:
        """Read a message that came in chunks. context: of the call that says it is whole."""
        self._create_message("key", overwrite=True)
        self._append_message("key", message)
        self._process_message("key", context=context)
        return self._understand(self._heard.pop())

    def _understand(self, message: dict[str, Any]) -> Heard:
        workspace = message["from"].partition("/")[0]
        promise, callbacks = message.get("promise"), []
        functions = self._functions_in(message.get("args"), workspace)
        if isinstance(promise, dict):
            used = {name: promise.pop(name) for name in _CALLBACKS if name in promise}
            callbacks = self._functions_in(used, workspace)
            functions = functions + self._functions_in(promise, workspace)
        return Heard(message, message["ctx"], functions, callbacks)

    def _functions_in(self, value: object, workspace: str) -> list[Function]:
        """Those that are made of a value before its decoder stumbles, if it does."""
        self._found = []
        with contextlib.suppress(Exception):  # whatever a client stumbles over
            self._decode(value, remote_workspace=workspace)
        return self._found

    def check_modules(self) -> None:
        """Arrays stay as they come; looking for numpy takes long."""
        self.NUMPY_MODULE = False

    def _fire(self, event: str, data: object = None) -> None:
        self._heard.append(cast(dict[str, Any], data))

    def _generate_remote_method(self, encoded_method: dict[str, Any], **where: Any) -> object:
        method = super()._generate_remote_method(encoded_method, **where)
        made = method.__rpc_object__
        self._found.append(Function(made["_rtarget"], made["_rmethod"]))
        return method


def keys_in(data: bytes) -> set[object]:
    """The keys of all maps in a frame, also those that another one of their name hides."""
    found: set[object] = set()

    def note(pairs: list[tuple[object, object]]) -> None:
        found.update(key for key, _ in pairs)

    unpacker = msgpack.Unpacker(max_buffer_size=0, object_pairs_hook=note, strict_map_key=False)
    unpacker.feed(data)
    while unpacker.tell() < len(data):
        unpacker.unpack()
    return found
