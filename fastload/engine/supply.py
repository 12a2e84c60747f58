"""A worker's pieces of work, built ahead of need: prompt work happens in small slices while nothing is due, never before a send.

Knows nothing of connections. Invariant: the pieces handed out are exactly this worker's share of the run's, in order.
"""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fastload.clock import monotonic_ns
from fastload.schedule.partition import striped
from fastload.workload.work import Turn, Workload

_SLICE_NS: Final = 300_000
"""Longest time one slice of building may keep the loop: far below what counts as a stall."""
_MARGIN_NS: Final = 60_000
"""No piece is begun so shortly before something is due: building one takes some 10 to 50 µs."""
_AHEAD_BYTES: Final = 32 << 20
"""Memory for requests built ahead, per worker."""


class WorkSupply:
    """Hands out pieces in order.

    Args:
        work: builds them by index.
        worker, workers: whose share this is.
        total: pieces of the whole run; None = as many as the work has.
        ahead: how many to keep ready.
        due_ns: tells when something is due next (monotonic; 0 = nothing), so that building never delays it.
    """

    def __init__(
        self, work: Workload, worker: int, workers: int, total: int | None, ahead: int, due_ns: Callable[[], int] | None = None
    ) -> None:
        totals = [count for count in (total, work.total) if count is not None]
        self._work = work
        self._due_ns = due_ns or _nothing_due
        self._ids: Iterator[int] = (
            striped_without_end(worker, workers) if not totals else iter(striped(min(totals), workers, worker))
        )
        self._ahead: Final = ahead
        self._ready: deque[tuple[Sequence[Turn], int]] = deque()
        self._ready_bytes = 0
        self._ended = False
        self._refilling = False
        self.start_ns: int | None = None
        """Start of the load, once it is known: prompts may grow with the time since."""
        constant = work.constant
        self._rest = None if constant is None else constant[1:]

    def take(self, loop: AbstractEventLoop) -> Sequence[Turn] | None:
        """Return the next piece's opening turns, None when the share is used up; arranges for more to be built."""
        if self._rest is not None:
            index = next(self._ids, None)
            return None if index is None else (Turn(index, *self._rest),)
        if not self._ready:
            self._build_one()
        if not self._ready:
            return None
        turns, size = self._ready.popleft()
        self._ready_bytes -= size
        if not self._refilling and not self._ended and len(self._ready) * 2 < self._ahead:
            self._refilling = True
            loop.call_soon(self._refill, loop)
        return turns

    def fill(self) -> None:
        """Build as many as are kept ready; for before the load starts."""
        while not self._full() and self._rest is None:
            self._build_one()

    def _full(self) -> bool:
        return self._ended or len(self._ready) >= self._ahead or self._ready_bytes >= _AHEAD_BYTES

    def _build_one(self) -> None:
        index = next(self._ids, None)
        if index is None:
            self._ended = True
            return
        elapsed_s = 0.0 if self.start_ns is None else max(monotonic_ns() - self.start_ns, 0) / 1e9
        turns = self._work.opening(index, elapsed_s)
        size = sum(_own_bytes(turn) for turn in turns)
        self._ready.append((turns, size))
        self._ready_bytes += size

    def _refill(self, loop: AbstractEventLoop) -> None:
        until_ns = monotonic_ns() + _SLICE_NS
        while not self._full():
            due_ns = self._due_ns()
            if monotonic_ns() > (min(until_ns, due_ns - _MARGIN_NS) if due_ns else until_ns):
                loop.call_later(0.001, self._refill, loop)  # let everything that is due go first
                return
            self._build_one()
        self._refilling = False


def _nothing_due() -> int:
    return 0


def striped_without_end(worker: int, workers: int) -> Iterator[int]:
    """Return the endless share of a worker."""
    return itertools.count(worker, workers)


def _own_bytes(turn: Turn) -> int:
    """Return the memory a turn holds alone: shared blocks are memoryviews or large and the same for many."""
    data = turn.data
    if isinstance(data, bytes):
        return len(data)
    return sum(len(block) for block in data if isinstance(block, bytes) and len(block) < 16384)
