"""What the tokens of each phase of a load did: events and gaps by stage, beside those of the whole measured window.

Binned by the same kernel and by the same rule: an event counts in the phase it came in, a gap in the one it ended in, and neither
outside of the measured window. Made only where a gate asks for it. Knows nothing of plans; times are ns since the run's epoch.
Invariant: whatever phases overlap or leave out, a sample counts once in each phase it lies in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS, TIME_MASK
from fastload.stats import kernels as k
from fastload.stats.histogram import Counts, Moments

_MASK: Final = np.uint64(TIME_MASK)
_SECOND_NS: Final = 1_000_000_000


class PhaseTokens:
    """Events and gaps of the phases of a run.

    Args:
        windows: begin and end of each phase, ns since the epoch.
        endpoints: how many endpoint indices the samples use.
    """

    def __init__(self, windows: Sequence[tuple[int, int]], endpoints: int) -> None:
        self.windows = tuple(windows)
        self._gaps = np.zeros((len(self.windows), endpoints, HISTOGRAM_BUCKETS), dtype=np.uint64)
        self._moments = np.zeros((len(self.windows), endpoints, k.MOMENT_COLUMNS), dtype=np.uint64)
        self._moments[:, :, k.MINIMUM] = np.iinfo(np.uint64).max
        self._totals = np.zeros((len(self.windows), endpoints, k.TOTAL_COLUMNS), dtype=np.uint64)
        # The kernel's histograms by second are the collector's business: here all seconds share one row that nobody reads.
        last_s = max((end for _, end in self.windows), default=0) // _SECOND_NS
        self._seconds = np.zeros(last_s + 2, dtype=np.uint64)
        self._slots = np.zeros(last_s + 2, dtype=np.int32)
        self._row = np.zeros((1, k.COARSE_BUCKETS), dtype=np.uint32)

    def add(self, words: k.U64Array, measured: tuple[int, int], kernel: Callable[..., int]) -> None:
        """Take token samples, shape (n, 2); `measured` is the measured window so far, `kernel` is `bin_tokens`."""
        stamps = words[:, 0] & _MASK
        first, last = int(stamps.min()), int(stamps.max())
        for at, (start, end) in enumerate(self.windows):
            start, end = max(start, measured[0]), min(end, measured[1])
            if last < start or first >= end:
                continue
            inside = (stamps >= np.uint64(start)) & (stamps < np.uint64(end))
            chosen = np.ascontiguousarray(words[inside])
            tables = (self._gaps[at], self._moments[at], self._totals[at])
            done = kernel(chosen, 0, np.uint64(start), np.uint64(end), *tables, self._seconds, self._slots, self._row)
            assert done == len(chosen), "the collector has binned the same samples before"

    def gaps(self, phase: int, endpoint: int | None) -> tuple[Counts, Moments | None]:
        """Return histogram and exact moments of a phase's gaps (ns), of one endpoint or of all; None = no gap."""
        return merged_gaps(self._gaps[phase], self._moments[phase], endpoint)

    def events(self, phase: int, endpoint: int | None) -> int:
        """Return how many content events came in a phase."""
        column = self._totals[phase, :, k.WINDOW_EVENTS]
        return int(column.sum() if endpoint is None else column[endpoint])


def merged_gaps(gaps: Counts, moments: NDArray[np.uint64], endpoint: int | None) -> tuple[Counts, Moments | None]:
    """Return histogram and moments of one endpoint's rows or of all of them together; None = no gap."""
    chosen = slice(None) if endpoint is None else slice(endpoint, endpoint + 1)
    counts: Counts = gaps[chosen].sum(axis=0, dtype=np.uint64)
    count = int(counts.sum())
    if count == 0:
        return counts, None
    rows = [[int(cell) for cell in row] for row in moments[chosen]]
    squares = sum((row[k.SQUARES_HIGH] << 64) + row[k.SQUARES_LOW] for row in rows)
    smallest = min(row[k.MINIMUM] for row in rows)
    return counts, Moments(count, sum(row[k.SUM] for row in rows), squares, smallest, max(row[k.MAXIMUM] for row in rows))
