"""When a worker's arrivals are due: its share of the schedule's arrivals, or of a trace's.

Knows nothing of what arrives. Invariant: the shares of all workers together are every arrival once.
"""

from __future__ import annotations

from typing import Final

from fastload.schedule.arrivals import Arrivals
from fastload.schedule.partition import striped
from fastload.workload.work import Workload

_CHUNK: Final = 1024
"""Arrivals of the whole run computed at once: numpy's cost per call is shared by all of them."""


class ArrivalTimes:
    """A worker's share of a process: every `workers`-th arrival, as many as there are pieces of work (None = no end)."""

    aligned = False
    """An arrival that is missed uses up no piece of work."""

    def __init__(self, arrivals: Arrivals, worker: int, workers: int, pieces: int | None = None) -> None:
        self._arrivals = arrivals
        self._left = None if pieces is None else len(striped(pieces, workers, worker))
        self._worker = worker
        self._workers = workers
        self._first = 0
        self._chunk: list[int] = []
        self._at = 0
        self._last_ns = 0

    @property
    def rate(self) -> float:
        """Arrivals per second of this worker, about now."""
        return self._arrivals.rate_at(self._last_ns / 1e9) / self._workers

    def next_ns(self) -> int | None:
        """Return the next one's time since the start; None = there are no more."""
        if self._left is not None:
            if self._left == 0:
                return None
            self._left -= 1
        if self._at == len(self._chunk):
            # A chunk begins at a multiple of the number of workers, so a share is a slice.
            size = -(-_CHUNK // self._workers) * self._workers
            times = self._arrivals.times_ns(self._first, size)
            self._first += size
            self._chunk = times[self._worker :: self._workers].tolist()
            self._at = 0
            if not self._chunk:
                return None
        self._last_ns = self._chunk[self._at]
        self._at += 1
        return self._last_ns


class TraceTimes:
    """A worker's share of a trace: every `workers`-th entry."""

    aligned = True
    """Each arrival is one certain piece of work: a missed one is skipped."""

    def __init__(self, work: Workload, worker: int, workers: int) -> None:
        self._work = work
        self._index = worker
        self._workers = workers
        self._last_ns = 0
        self._count = 0

    @property
    def rate(self) -> float:
        """Arrivals per second of this worker, on average so far; 10 before the first."""
        return self._count * 1e9 / self._last_ns if self._last_ns else 10.0

    def next_ns(self) -> int | None:
        """Return the next one's time since the start; None = there are no more."""
        total = self._work.total
        if total is not None and self._index >= total:
            return None
        due_ns = self._work.arrival_ns(self._index)
        assert due_ns is not None
        self._index += self._workers
        self._count += 1
        self._last_ns = due_ns
        return due_ns
