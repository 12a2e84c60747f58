"""Coarse gap histograms by second, for the timeline and the live view, in memory that does not grow with the run's length.

A fixed pool of dense rows takes the seconds that samples are arriving for; when it is full the oldest second is packed to its
few filled buckets, and unpacked again should a straggler come. `PackedSeconds` is the same of a run that is over, every second
packed: what files hold and merges add up. Knows nothing of tokens: `fastload.stats.kernels` writes the rows.

Invariant: whatever the order of the samples, the histogram of a second is the sum of everything added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_SUB_BITS
from fastload.stats.histogram import midpoints
from fastload.stats.kernels import COARSE_BUCKETS, COARSE_SUB_BITS

POOL_ROWS: Final = 32
"""Dense seconds: rings are emptied many times a second, so 32 s hold every straggler that is not a broken run's; 400 kB."""
MAX_SECONDS: Final = 1 << 19
"""Six days; the 48-bit stamps end at 78 h. A later second means a corrupt sample."""

_FIRST_SECONDS: Final = 256
_COARSER: Final = HISTOGRAM_SUB_BITS - COARSE_SUB_BITS


def coarse_midpoints() -> NDArray[np.float64]:
    """Return the value each coarse bucket is reported as: the middle of the fine buckets in it."""
    fine = midpoints()
    grouped = fine[1:].reshape(COARSE_BUCKETS - 1, 1 << _COARSER)
    return np.concatenate([fine[:1], (grouped[:, 0] + grouped[:, -1]) / 2])


@dataclass(frozen=True, slots=True)
class PackedSeconds:
    """Events and coarse gap histogram of every second of a run that is over.

    Attributes:
        events: by second since the epoch.
        filled: how many buckets of each second are not empty.
        buckets: those buckets, ascending, second by second.
        numbers: what is in them.
    """

    events: NDArray[np.uint64]
    filled: NDArray[np.uint64]
    buckets: NDArray[np.uint16]
    numbers: NDArray[np.uint64]

    def packed(self) -> PackedSeconds:
        """Return itself."""
        return self

    def counts(self, first: int, end: int) -> NDArray[np.uint64]:
        """Return the coarse histogram of the seconds [first, end) together."""
        first, end = (min(max(second, 0), len(self.filled)) for second in (first, end))
        begin = int(self.filled[:first].sum())
        chosen = slice(begin, begin + int(self.filled[first:end].sum()))
        total = np.zeros(COARSE_BUCKETS, dtype=np.uint64)
        np.add.at(total, self.buckets[chosen], self.numbers[chosen])
        return total

    def events_between(self, first: int, end: int) -> int:
        """Return the events of the seconds [first, end)."""
        return int(self.events[max(first, 0) : max(end, 0)].sum())


def add_seconds(parts: Sequence[tuple[PackedSeconds, int]]) -> PackedSeconds:
    """Return the sum of several, each moved by whole seconds (0 or more) to where it lies in the sum."""
    length = max((len(part.events) + shift for part, shift in parts), default=0)
    events = np.zeros(length, dtype=np.uint64)
    places, numbers = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint64)]
    for part, shift in parts:
        events[shift : shift + len(part.events)] += part.events
        second = np.repeat(np.arange(len(part.filled), dtype=np.int64) + shift, part.filled.astype(np.int64))
        places.append(second * COARSE_BUCKETS + part.buckets)
        numbers.append(part.numbers)
    place, of_part = np.unique(np.concatenate(places), return_inverse=True)
    summed = np.zeros(len(place), dtype=np.uint64)
    np.add.at(summed, of_part, np.concatenate(numbers))
    filled = np.bincount(place // COARSE_BUCKETS, minlength=length).astype(np.uint64)
    return PackedSeconds(events, filled, (place % COARSE_BUCKETS).astype(np.uint16), summed)


class SecondHistograms:
    """Events and coarse gap histogram of every second since the epoch.

    `events`, `slot_of_second` and `rows` are for `kernels.bin_tokens`; fetch them anew after each `open`, which may replace them.
    """

    def __init__(self) -> None:
        self.events = np.zeros(_FIRST_SECONDS, dtype=np.uint64)
        self.slot_of_second = np.full(_FIRST_SECONDS, -1, dtype=np.int32)
        self.rows = np.zeros((POOL_ROWS, COARSE_BUCKETS), dtype=np.uint32)
        self._second_of_slot = np.full(POOL_ROWS, -1, dtype=np.int64)
        self._packed: dict[int, tuple[NDArray[np.uint16], NDArray[np.uint32]]] = {}

    def open(self, second: int) -> None:
        """Give `second` a dense row, with what it held before.

        Raises:
            ValueError: the second is beyond any run; the sample it came from is corrupt.
        """
        if not 0 <= second < MAX_SECONDS:
            raise ValueError(f"a token sample claims second {second} of the run")
        self._grow(second + 1)
        if self.slot_of_second[second] >= 0:
            return
        slot = int(np.argmin(self._second_of_slot))  # a free slot (-1) or else the oldest second
        oldest = int(self._second_of_slot[slot])
        if oldest >= 0:
            filled = np.flatnonzero(self.rows[slot])
            self._packed[oldest] = (filled.astype(np.uint16), self.rows[slot, filled])
            self.slot_of_second[oldest] = -1
            self.rows[slot] = 0
        if second in self._packed:
            buckets, counts = self._packed.pop(second)
            self.rows[slot, buckets] = counts
        self._second_of_slot[slot] = second
        self.slot_of_second[second] = slot

    def counts(self, first: int, end: int) -> NDArray[np.uint64]:
        """Return the coarse histogram of the seconds [first, end) together."""
        total = np.zeros(COARSE_BUCKETS, dtype=np.uint64)
        for second in range(max(first, 0), min(end, len(self.events))):
            slot = int(self.slot_of_second[second])
            if slot >= 0:
                total += self.rows[slot]
            elif second in self._packed:
                buckets, counts = self._packed[second]
                total[buckets] += counts
        return total

    def events_between(self, first: int, end: int) -> int:
        """Return the events of the seconds [first, end)."""
        return int(self.events[max(first, 0) : max(end, 0)].sum())

    def packed(self) -> PackedSeconds:
        """Return all of it, up to the last second that holds anything; it shares nothing with this object."""
        used = [*np.flatnonzero(self.events).tolist(), *np.flatnonzero(self.slot_of_second >= 0).tolist(), *self._packed]
        length = max(used, default=-1) + 1
        rows = [self._row(second) for second in range(length)]
        return PackedSeconds(
            self.events[:length].copy(),
            np.array([len(buckets) for buckets, _ in rows], dtype=np.uint64),
            np.concatenate([np.zeros(0, dtype=np.uint16), *(buckets for buckets, _ in rows)]),
            np.concatenate([np.zeros(0, dtype=np.uint64), *(numbers.astype(np.uint64) for _, numbers in rows)]),
        )

    def _row(self, second: int) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
        """Return the filled buckets of a second and what is in them."""
        slot = int(self.slot_of_second[second])
        if slot < 0:
            return self._packed.get(second, (np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.uint32)))
        filled = np.flatnonzero(self.rows[slot])
        return filled.astype(np.uint16), self.rows[slot, filled]

    def _grow(self, seconds: int) -> None:
        have = len(self.events)
        if seconds <= have:
            return
        more = max(seconds, 2 * have) - have
        self.events = np.concatenate([self.events, np.zeros(more, dtype=np.uint64)])
        self.slot_of_second = np.concatenate([self.slot_of_second, np.full(more, -1, dtype=np.int32)])
