"""What the tokens of each phase of a load did: events and gaps by stage, beside those of the whole measured window.

Binned by the same kernel and by the same rule: an event counts in the phase it came in, a gap in the one it ended in, and neither
outside of the measured window. Made only where a gate asks for it. Knows nothing of plans; times are ns since the run's epoch.
Invariant: whatever phases overlap or leave out, a sample counts once in each phase it lies in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from fastload.samples.layout import TIME_MASK
from fastload.stats import kernels as k
from fastload.stats.gap_table import GapTable
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
        self._tables = [GapTable.empty(endpoints) for _ in self.windows]
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
            table = self._tables[at]
            tables = (table.gaps, table.moments, table.totals)
            done = kernel(chosen, 0, np.uint64(start), np.uint64(end), *tables, self._seconds, self._slots, self._row)
            assert done == len(chosen), "the collector has binned the same samples before"

    def gaps(self, phase: int, endpoint: int | None) -> tuple[Counts, Moments | None]:
        """Return histogram and exact moments of a phase's gaps (ns), of one endpoint or of all; None = no gap."""
        return self._tables[phase].of(endpoint)

    def events(self, phase: int, endpoint: int | None) -> int:
        """Return how many content events came in a phase."""
        return self._tables[phase].total(k.WINDOW_EVENTS, endpoint)
