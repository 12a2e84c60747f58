"""What a comparison takes in, and a statistic that is tested: plain facts shared by the parts of `fastload.stats.compare`.

Knows nothing of files or tests. Invariant: all times of one run are on one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fastload.samples.layout import Outcome
from fastload.stats.bootstrap import Floats, Layout
from fastload.stats.histogram import Counts, Moments
from fastload.stats.metrics import Flags, Records, output_tokens, sent_inside, streamed
from fastload.stats.seconds import PackedSeconds


@dataclass(frozen=True, slots=True)
class RunSamples:
    """One run as far as a comparison needs it, or one stretch of time of a result merged of several.

    Attributes:
        records: every request; times in ns on any one clock.
        measured: which of them are the latency population.
        window_ns: begin and end of the measured window on that clock.
        tokens_per_s: the summary's output token rate; None = it has none.
        seconds: gaps by second; None = not known, or not known for these requests alone.
        epoch_ns: zero of the seconds, on the clock of the records.
        counted: which of them count for rates, where a request may end in the window but after that of its own run; None = all.
    """

    records: Records
    measured: Flags
    window_ns: tuple[int, int]
    tokens_per_s: float | None
    seconds: PackedSeconds | None = None
    epoch_ns: int = 0
    counted: Flags | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison: a result, or several iterations of it.

    Attributes:
        name: what the output calls it.
        runs: its iterations.
        gaps: histogram and exact moments of the gaps (ns) in all their measured windows; None = not known.
    """

    name: str
    runs: tuple[RunSamples, ...]
    gaps: tuple[Counts, Moments | None] | None = None


class Statistic(Protocol):
    """A number that any draw of blocks has."""

    def of(self, weights: Floats) -> Floats:
        """Return the statistic of each draw, shape (draws, columns)."""
        ...


@dataclass(frozen=True, slots=True)
class Tested:
    """A statistic of every draw that has been made, and what is said of it besides.

    Attributes:
        name: the metric with its statistic.
        unit: of its values.
        layout: the blocks it is tested on; None = it cannot be tested.
        statistic: what gives its value for a draw.
        column: which of that statistic's columns it is.
        effect: Cliff's delta.
        n: values of A and of B.
        exact: the statistic of A and of B to the last digit, where that of the draws is on a grid.
        resolution: how far a value of a draw may be from the exact one, as a share of it.
    """

    name: str
    unit: Literal["ms", "per_s", "ratio"]
    layout: Layout | None
    statistic: Statistic | None
    column: int
    effect: float | None
    n: tuple[int, int]
    exact: tuple[float, float] | None = None
    resolution: float = 0.0


def inside_window(records: Records, window_ns: tuple[int, int]) -> Flags:
    """Select the requests sent inside a stretch of time, however they ended."""
    return sent_inside(records, *window_ns)


def tokens_in_blocks(records: Records, edges_ns: Sequence[float] | Floats) -> Floats:
    """Return the output tokens between neighbouring edges: a stream's spread evenly from its first to its last, a body's
    at its end.
    """
    done = records[records["outcome"] == Outcome.COMPLETED]
    count = output_tokens(done).astype(np.float64)
    stream = streamed(done) & (done["first_token_ns"] != 0)
    first = np.where(stream, done["first_token_ns"], done["end_ns"]).astype(np.float64)
    last = np.where(stream, done["last_token_ns"], done["end_ns"]).astype(np.float64)
    span = np.maximum(last - first, 1.0)
    until = np.array([(np.clip((edge - first) / span, 0.0, 1.0) * count).sum() for edge in edges_ns])
    tokens: Floats = np.diff(until)
    return tokens
