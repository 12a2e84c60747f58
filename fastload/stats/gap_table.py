"""The gaps and content events of a run, endpoint by endpoint: the arrays that the kernels fill, files keep and merges add.

Knows nothing of rings, windows or files. Invariant: a table is the sum of its samples, so adding tables is associative,
commutative and exact, the sums of squares (128 bits in two words) included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastload.samples.layout import HISTOGRAM_BUCKETS
from fastload.stats import kernels as k
from fastload.stats.histogram import Counts, Moments, merge
from fastload.stats.kernels import U64Array

_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class GapTable:
    """One row an endpoint.

    Attributes:
        gaps: histogram of the gaps (ns) inside the measured window, shape (endpoints, HISTOGRAM_BUCKETS).
        moments: exact sums and extremes of the same gaps, columns `kernels.SUM`, ...; a minimum of 2**64 - 1 means no gap.
        totals: content events, columns `kernels.EVENTS`, ...
    """

    gaps: U64Array
    moments: U64Array
    totals: U64Array

    @classmethod
    def empty(cls, endpoints: int) -> GapTable:
        """Return a table without samples."""
        moments = np.zeros((endpoints, k.MOMENT_COLUMNS), dtype=np.uint64)
        moments[:, k.MINIMUM] = _WORD
        gaps = np.zeros((endpoints, HISTOGRAM_BUCKETS), dtype=np.uint64)
        return cls(gaps, moments, np.zeros((endpoints, k.TOTAL_COLUMNS), dtype=np.uint64))

    def of(self, endpoint: int | None = None) -> tuple[Counts, Moments | None]:
        """Return histogram and exact moments of one endpoint or of all; None = no gap."""
        chosen = slice(None) if endpoint is None else slice(endpoint, endpoint + 1)
        counts = self.gaps[chosen].sum(axis=0, dtype=np.uint64)
        count = int(counts.sum())
        if count == 0:
            return counts, None
        total, squares, smallest, largest = _summed(self.moments[chosen])
        return counts, Moments(count, total, squares, smallest, largest)

    def total(self, column: int, endpoint: int | None = None) -> int:
        """Return one column (`kernels.EVENTS`, ...) of the event totals, of one endpoint or of all."""
        return int(self.totals[:, column].sum()) if endpoint is None else int(self.totals[endpoint, column])

    def rows(self, order: Sequence[int | None]) -> GapTable:
        """Return the rows in another order; None = an endpoint this table does not have."""
        found = GapTable.empty(len(order))
        for row, index in enumerate(order):
            if index is not None:
                found.gaps[row], found.moments[row], found.totals[row] = self.gaps[index], self.moments[index], self.totals[index]
        return found


def add_tables(tables: Sequence[GapTable]) -> GapTable:
    """Return the sum of tables with the same endpoints."""
    gaps, totals = np.zeros_like(tables[0].gaps), np.zeros_like(tables[0].totals)
    for table in tables:
        gaps += table.gaps
        totals += table.totals
    moments = np.zeros_like(tables[0].moments)
    for row in range(len(moments)):
        total, squares, smallest, largest = _summed(np.stack([table.moments[row] for table in tables]))
        cells = {k.SUM: total, k.SQUARES_LOW: squares & _WORD, k.SQUARES_HIGH: squares >> 64}
        for column, value in {**cells, k.MINIMUM: smallest, k.MAXIMUM: largest}.items():
            moments[row, column] = np.uint64(value)
    return GapTable(gaps, moments, totals)


def add_gaps(gaps: Sequence[tuple[Counts, Moments | None]]) -> tuple[Counts, Moments | None]:
    """Return the sum of histograms with their moments, as `GapTable.of` gives them."""
    known = [moments for _, moments in gaps if moments is not None]
    counts = merge(counts for counts, _ in gaps)
    if not known:
        return counts, None
    return counts, Moments(
        count=sum(moments.count for moments in known),
        total=sum(moments.total for moments in known),
        total_of_squares=sum(moments.total_of_squares for moments in known),
        minimum=min(moments.minimum for moments in known),
        maximum=max(moments.maximum for moments in known),
    )


def _summed(moments: U64Array) -> tuple[int, int, int, int]:
    """Return sum, sum of squares, minimum and maximum over some rows, as Python integers."""
    rows = [[int(cell) for cell in row] for row in moments]
    squares = sum((row[k.SQUARES_HIGH] << 64) + row[k.SQUARES_LOW] for row in rows)
    return (
        sum(row[k.SUM] for row in rows),
        squares,
        min(row[k.MINIMUM] for row in rows),
        max(row[k.MAXIMUM] for row in rows),
    )
