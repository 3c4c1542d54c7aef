"""Memory that many share, so that however much some of them take there is some for others."""


class Room:
    """So many bytes for all; nobody has more of them than are free. free: bytes.

    What is larger is for whoever comes when nobody has any. So however much some have, another one
    finds as much room as each of them has (Choudhury and Hahne, Dynamic queue length thresholds,
    1998).
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._taken: dict[str, int] = {}

    def has(self, who: str, size: int) -> bool:
        """Whether somebody may take so much more."""
        return self._taken.get(who, 0) + size <= self.free - size or not self._taken

    def is_exceeded_by(self, who: str) -> bool:
        """Whether somebody has taken more than they may have by now."""
        return self._taken.get(who, 0) > self.free

    def take(self, who: str, size: int) -> None:
        """Take so much, or give it back if it is negative."""
        self.free -= size
        if taken := self._taken.get(who, 0) + size:
            self._taken[who] = taken
        else:
            self._taken.pop(who, None)
