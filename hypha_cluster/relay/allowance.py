"""What a client may yet put into the mailboxes of others, as the relay asks for it."""

from collections.abc import Collection
from typing import Final, Protocol

from hypha_cluster.errors import HubError


class Allowance(Protocol):
    """What a client may yet put into mailboxes: MailAllowance (hub/quotas.py).

    spent: all users and addresses that have spent theirs; while it is empty, `refusal` is None.
    """

    @property
    def spent(self) -> Collection[str]: ...

    def refusal(self) -> HubError | None:
        """Why it may put nothing there now, and when it may again; None if it may."""

    def spend(self, size: int) -> None:
        """Note that it has put so many bytes there."""


class Unbounded:
    """The allowance of the hub itself, and of whoever has no limit."""

    spent: Collection[str] = ()

    def refusal(self) -> None:
        return None

    def spend(self, size: int) -> None:
        pass


UNBOUNDED: Final = Unbounded()
