"""The samples of a run that is over, in the shape in which statistics ask for them.

A `Collector` has this shape when it is finished, and so have samples read from files or merged, so that one set of formulas
serves all of them. Knows nothing of files. Invariant: nothing in here changes any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastload.stats.gap_table import GapTable
from fastload.stats.histogram import Counts, Moments
from fastload.stats.metrics import Records
from fastload.stats.seconds import PackedSeconds


class Seconds(Protocol):
    """Events and coarse gap histograms by second since the epoch."""

    @property
    def events(self) -> NDArray[np.uint64]: ...  # noqa: D102 - as in `SecondHistograms`

    def counts(self, first: int, end: int) -> NDArray[np.uint64]: ...  # noqa: D102

    def events_between(self, first: int, end: int) -> int: ...  # noqa: D102

    def packed(self) -> PackedSeconds: ...  # noqa: D102


class Samples(Protocol):
    """What `summarise` reads of a run."""

    @property
    def epoch_ns(self) -> int: ...  # noqa: D102 - as in `Collector`

    @property
    def table(self) -> GapTable: ...  # noqa: D102

    @property
    def seconds(self) -> Seconds: ...  # noqa: D102

    def records(self) -> Records: ...  # noqa: D102

    def gaps(self, endpoint: int | None = None) -> tuple[Counts, Moments | None]: ...  # noqa: D102

    def total(self, column: int, endpoint: int | None = None) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Collected:
    """Samples that came from files or were merged.

    Attributes:
        epoch_ns: zero of `seconds`, on the clock of the records.
        table: gaps and events by endpoint.
        seconds: the same by second.
        rows: every request record.
    """

    epoch_ns: int
    table: GapTable
    seconds: PackedSeconds
    rows: Records

    def records(self) -> Records:
        """Return every record."""
        return self.rows

    def gaps(self, endpoint: int | None = None) -> tuple[Counts, Moments | None]:
        """Return histogram and exact moments of the gaps (ns) inside the window, of one endpoint or of all; None = no gap."""
        return self.table.of(endpoint)

    def total(self, column: int, endpoint: int | None = None) -> int:
        """Return one column of the event totals, of one endpoint or of all."""
        return self.table.total(column, endpoint)
