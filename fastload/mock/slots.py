"""Places for answers being given at once: a server of fixed capacity, whose knee is known.

Knows nothing of answers. Invariant: at most `places` are taken; who waits is served in the order of arrival.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol


class Waiting(Protocol):
    """Somebody with an answer to give."""

    def begin(self) -> None:
        """Begin, for there is a place now."""


class Slots:
    """Hands out places; 0 = there is no limit."""

    def __init__(self, places: int) -> None:
        self.limited: Final = places > 0
        self._free = places
        self._queue: deque[Waiting] = deque()

    def take(self, who: Waiting) -> bool:
        """Take a place, or queue up; `who.begin()` is called later then."""
        if self._free:
            self._free -= 1
            return True
        self._queue.append(who)
        return False

    def give_back(self) -> None:
        """Give a place to the next in the queue."""
        if self._queue:
            self._queue.popleft().begin()
        else:
            self._free += 1

    def leave(self, who: Waiting) -> None:
        """Leave the queue."""
        self._queue.remove(who)
