"""The numbers behind the plots: requests thinned out, binned, ranked; seconds of a long run put together.

Knows nothing of figures. Invariant: what is thinned out keeps its slowest values, since they are what a reader looks for; a
quantile is nearest rank, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.report.files.histograms_file import StoredHistograms
from fastload.report.files.requests_file import LOAD_START_NS, Stored
from fastload.stats import metrics
from fastload.stats.metrics import Records
from fastload.stats.result import Summary, TimelineRow

Floats = NDArray[np.float64]

MAX_POINTS: Final = 1500
"""Marks of one scatter plot: more are slow to draw and hide each other."""
MAX_SLOWEST: Final = 200
"""Of them, or so, the slowest, whatever the thinning."""
MAX_BINS: Final = 300
"""Bins of a time axis: two to three pixels each."""
_IN_A_BIN: Final = 30
_LEAST_BINS: Final = 10
_RANKS: Final = 300
_NS_PER_S: Final = 1e9
_NS_PER_MS: Final = 1e6
_LEAST_SPAN_S: Final = 1e-3
_LOG_RATIO: Final = 20.0
"""A maximum that many times the median would flatten everything else on a linear axis."""


@dataclass(frozen=True, slots=True)
class Material:
    """All there is to draw of one run.

    Attributes:
        summary: the result.
        stored: the latency population and everything else of `requests.csv`; None without that file.
        histograms: the gaps between tokens; None without `histograms.npz`.
    """

    summary: Summary
    stored: Stored | None
    histograms: StoredHistograms | None = None

    @property
    def measured(self) -> Records:
        """Return the latency population, empty without `requests.csv`."""
        if self.stored is None:
            from fastload.samples.layout import RECORD_DTYPE

            return np.zeros(0, dtype=RECORD_DTYPE)
        return self.stored.records[self.stored.measured]

    def window_s(self) -> tuple[float, float]:
        """Return begin and end of the measured window in s since the start of the load.

        The search for a steady part may choose any window; then the population itself tells where it lies.
        """
        run = self.summary.run
        if run.steady is not None:
            sent = since_start_s(self.measured, "sent_ns")
            if len(sent):
                return float(sent.min()), float(sent.max())
        if run.merged is not None:
            return min(part.window_s[0] for part in run.merged), max(part.window_s[1] for part in run.merged)
        return max(run.load_s - run.duration_s, 0.0), run.load_s

    def outside_s(self) -> list[tuple[float, float]]:
        """Return the spans of the run that were not measured: warm-up, drain, and the time between the runs of a merged result."""
        merged = self.summary.run.merged
        end_s = self.summary.run.total_s if merged is None else float(len(self.summary.timeline))
        spans, reached = [], 0.0
        for begin, end in sorted(part.window_s for part in merged or []) or [self.window_s()]:
            spans.append((reached, begin))
            reached = max(reached, end)
        return [(left, right) for left, right in [*spans, (reached, end_s)] if right - left > _LEAST_SPAN_S]


@dataclass(frozen=True, slots=True)
class Bands:
    """Quantiles over time, NaN where nothing was sent."""

    time_s: Floats
    p50: Floats
    p90: Floats
    p99: Floats
    bin_s: float


def since_start_s(records: Records, field: str) -> Floats:
    """Return where a stamp lies on the time axis, in s since the start of the load; NaN where it did not happen."""
    stamps = records[field]
    relative: Floats = (stamps - np.uint64(LOAD_START_NS)).view(np.int64) / _NS_PER_S
    return np.where(stamps != 0, relative, np.nan)


def metric_ms(records: Records, name: str) -> Floats:
    """Return a metric of every record in ms, NaN = none."""
    values = metrics.METRICS[name].values
    assert values is not None, f"{name} has no value per request"
    result: Floats = values(records) / _NS_PER_MS
    return result


def thin(values: Floats, limit: int = MAX_POINTS) -> NDArray[np.int64]:
    """Return which of the values to draw: all, or every n-th and the slowest."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) <= limit:
        return known
    slowest = known[np.argpartition(values[known], -MAX_SLOWEST)[-MAX_SLOWEST:]]
    step = -(-len(known) // (limit - MAX_SLOWEST))
    return np.union1d(known[::step], slowest)


def thinned_words(drawn: int, of: int) -> str:
    """Return what the caption says of thinning."""
    if drawn >= of:
        return f"All {of:,} requests are drawn."
    return (
        f"{drawn:,} of {of:,} requests are drawn: every n-th and the {MAX_SLOWEST} slowest; lines and bands are over all of them."
    )


def bands(time_s: Floats, values: Floats) -> Bands:
    """Return quantiles of the values in bins of the time."""
    known = ~np.isnan(values) & ~np.isnan(time_s)
    time_s, values = time_s[known], values[known]
    length_s = float(time_s.max()) if len(time_s) else 0.0
    # A p99 of a handful says nothing, so bins are wide enough for some values each, but there are enough for a line.
    bin_s = max(bin_width_s(length_s), length_s * min(_IN_A_BIN / max(len(time_s), 1), 1 / _LEAST_BINS))
    index = np.floor(np.maximum(time_s, 0.0) / bin_s).astype(np.int64)
    order = np.argsort(index, kind="stable")
    bins, begins = np.unique(index[order], return_index=True)
    ordered = values[order]
    rows = np.full((len(bins), 3), np.nan)
    for row, (begin, end) in enumerate(zip(begins, [*begins[1:], len(ordered)], strict=True)):
        rows[row] = np.quantile(ordered[begin:end], (0.5, 0.9, 0.99), method="inverted_cdf")
    middle: Floats = (bins.astype(np.float64) + 0.5) * bin_s
    return Bands(middle, rows[:, 0], rows[:, 1], rows[:, 2], bin_s)


def bin_width_s(length_s: float) -> float:
    """Return the width of a time bin: 0.1 s in a run of seconds, else whole seconds."""
    if length_s <= MAX_BINS / 10:
        return max(0.1, float(np.ceil(length_s)) / 50)
    return float(max(1, int(np.ceil(length_s / MAX_BINS))))


def ranked(values: Floats) -> tuple[Floats, Floats]:
    """Return values and the share of all that are at or below each, at ranks that lie dense in the tail."""
    ordered = np.sort(values[~np.isnan(values)])
    count = len(ordered)
    if not count:
        return ordered, ordered
    tail = count - 1 - np.geomspace(1, count, _RANKS).astype(np.int64) + 1
    places = np.unique(np.concatenate([np.linspace(0, count - 1, _RANKS).astype(np.int64), tail]))
    return ordered[places], (places + 1) / count


def log_bins(values: Floats, bins: int = 60) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return middle, width and count of bins that are equally wide on a log axis."""
    known = values[values > 0]
    if not len(known):
        return known, known, np.zeros(0, dtype=np.int64)
    low, high = float(known.min()), float(known.max())
    edges = np.geomspace(low, max(high, low * 1.01), bins + 1)
    # Rounding must not push the extremes out of the outermost bins.
    edges[0], edges[-1] = low, max(edges[-1], high)
    counts, _ = np.histogram(known, edges)
    return (edges[:-1] + edges[1:]) / 2, np.diff(edges), counts


def axis_type(values: Floats) -> str:
    """Return `log` where a linear axis would show nothing but the slowest."""
    known = values[values > 0]
    return "log" if len(known) and known.max() > _LOG_RATIO * np.median(known) else "linear"


def grouped_medians(x: Floats, y: Floats, groups: int = 20) -> tuple[Floats, Floats]:
    """Return medians of y in groups of about equal size along x; equal x are never parted."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    edges = np.unique(np.searchsorted(x, x[np.linspace(0, len(x) - 1, groups + 1).astype(np.int64)]))
    parts = [(begin, end) for begin, end in zip(edges, [*edges[1:], len(x)], strict=True) if end > begin]
    return (
        np.array([np.median(x[begin:end]) for begin, end in parts]),
        np.array([np.quantile(y[begin:end], 0.5, method="inverted_cdf") for begin, end in parts]),
    )


def seconds_together(rows: Sequence[TimelineRow]) -> tuple[list[Sequence[TimelineRow]], int]:
    """Return the timeline in at most `MAX_BINS` groups of successive seconds, and how many seconds a group has."""
    width = max(1, -(-len(rows) // MAX_BINS))
    return [rows[begin : begin + width] for begin in range(0, len(rows), width)], width
