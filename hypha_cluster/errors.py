"""What a client can be told: one tree, each class with its HTTP status and close code.

HubError
├── BadRequest            what was asked for makes no sense as it stands
│   └── BadFrame          a frame that may not pass
├── MethodNotAllowed      GET of what changes something, or is told a secret
├── NotAcceptable         the answer does not fit the form that was asked for
├── TooLarge              more than the hub takes
├── UnsupportedMediaType  a body of a kind that the hub does not read
├── BadArguments          the function takes other arguments; the text is the provider's
├── TooSlow               the request did not come in time
├── Overloaded            the hub has no room at the moment
├── TooMany               somebody has done something too often; says when to try again
├── InvalidToken          who the caller claims to be cannot be verified
├── PermissionDenied      the caller is known, and may not do this
├── NotFound
│   ├── WorkspaceNotFound
│   ├── ClientNotFound
│   ├── ServiceNotFound
│   └── FunctionNotFound
├── NotYetBack            what a client comes back to is not there at the moment
├── Conflict              the name is taken
│   ├── StillOnline       by the same user's client, which is connected
│   └── Replaced          by a newer program of the same user
├── RemoteError           the provider's own function failed
├── ClientBusy            the target does not take its frames quickly enough
├── ClientLeft            the target left before it answered
│   └── ClientAway        it may be back: only its connection broke
├── SessionClosed         what a function belonged to is over
├── ProviderFailed        an issuer does not answer as it should
├── RedisUnavailable      the hub cannot reach its Redis
└── CallTimeout           no answer in time

StartupError              what stops a node from starting
"""

from collections.abc import Sequence
from typing import ClassVar, Self


class HubError(Exception):
    """What a caller is told; its text says what is wrong and what would be right."""

    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011


class BadRequest(HubError):
    """What was asked for makes no sense as it stands."""

    status = 400
    close_code = 1003


class BadFrame(BadRequest):
    """A frame that may not pass (protocol.md 2.1, 2.5)."""


class MethodNotAllowed(HubError):
    """What changes something, or is told a secret, has to be called by POST."""

    status = 405


class NotAcceptable(HubError):
    """The answer cannot be put into the form that the caller asked for."""

    status = 406


class TooLarge(HubError):
    """More than the hub takes."""

    status = 413
    close_code = 1009


class UnsupportedMediaType(HubError):
    """A body of a kind that the hub does not read."""

    status = 415


class BadArguments(HubError):
    """The function takes other arguments; the text is the provider's."""

    status = 422


class TooSlow(HubError):
    """The request did not come in time."""

    status = 408


class Overloaded(HubError):
    """The hub has no room at the moment, and may have in a second."""

    status = 503
    close_code = 1013


class TooMany(HubError):
    """Somebody has done something too often. seconds: after which they may try again.

    subjects: what a client counts for that has proved to come back; it is put off, since a
    refusal would end it for good. None for anybody else.
    """

    status = 429
    close_code = 1013

    def __init__(
        self, text: str, seconds: float = 0.0, subjects: Sequence[str] | None = None
    ) -> None:
        super().__init__(text)
        self.seconds = seconds
        self.subjects = subjects

    def of(self, subjects: Sequence[str]) -> "TooMany":
        """The same, of somebody who has proved to come back."""
        return TooMany(str(self), self.seconds, subjects)


class InvalidToken(HubError):
    """Who the caller claims to be cannot be verified."""

    status = 401
    close_code = 1008


class PermissionDenied(HubError):
    """The caller is known, and may not do this."""

    status = 403
    close_code = 1008


class NotFound(HubError):
    """There is no such thing."""

    status = 404
    close_code = 1008


class WorkspaceNotFound(NotFound):
    """There is no such workspace."""


class ClientNotFound(NotFound):
    """There is no such client."""

    @classmethod
    def at(cls, address: str) -> Self:
        """The error for an address; programs look for the client's id behind the colon."""
        workspace, _, client = address.rpartition("/")
        return cls(f"Client not found: {client} (of workspace {workspace}) is not connected.")


class ServiceNotFound(NotFound):
    """There is no such service."""


class FunctionNotFound(NotFound):
    """The service has no such function."""


class NotYetBack(HubError):
    """What a client comes back to is gone, and may be there again in a moment."""

    status = 503
    close_code = 1012


class Conflict(HubError):
    """The name is taken."""

    status = 409
    close_code = 1013


class StillOnline(Conflict):
    """The same user's client of this id is connected."""


class Replaced(Conflict):
    """A newer program of the same user has the client's place."""


class RemoteError(HubError):
    """The provider's own function failed; the text is the provider's."""


class ClientBusy(HubError):
    """The target does not take its frames quickly enough."""

    status = 503
    close_code = 1013


class ClientLeft(HubError):
    """The target left before it answered."""

    status = 502


class ClientAway(ClientLeft):
    """The target's connection broke, and it has not come back in time."""

    status = 503
    close_code = 1012

    @classmethod
    def at(cls, address: str) -> Self:
        """The error for an address whose client is not connected at the moment."""
        return cls(f"Client {address} is away: its connection broke, and it has not come back.")


class SessionClosed(HubError):
    """The conversation in which a function was passed is over."""

    status = 410


class ProviderFailed(HubError):
    """An issuer that users sign in with does not answer as it should."""

    status = 502


class RedisUnavailable(HubError):
    """The hub cannot reach its Redis."""

    status = 503
    close_code = 1013


class CallTimeout(HubError):
    """No answer in time."""

    status = 504


class CommandFailed(Exception):
    """A command failed, and not by a mistake of its user; exit code 1."""


class StartupError(Exception):
    """What stops a node from starting; its text is one line for the operator."""
