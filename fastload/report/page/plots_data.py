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
ALL_OF_THE_SLOWEST: Final = 100
"""The slowest that are all drawn; of those at rank r beyond, one in r/100. That makes 800 of 100,000, and 1,250 of 10 million."""
MAX_BINS: Final = 300
"""Bins of a time axis: two to three pixels each."""
_IN_A_BIN: Final = 120
"""Values of a bin with a p99 of its own, and some more than the 100 it takes, for arrivals vary."""
_LEAST_BINS: Final = 8
"""Fewer points make no course of a run; then resolution counts more than a p99 everywhere."""
_PLAIN_BINS: Final = 10
_LEAST_IN_A_BIN: Final = 20
_LEAST_IN_A_GROUP: Final = 10
QUANTILES: Final = (0.5, 0.9, 0.99)
_RANKS: Final = 300
_HISTOGRAM_BINS: Final = 60
_BINS_PER_CUBE_ROOT: Final = 3.0
"""Rice's rule takes 2; latencies have longer tails than what it was made for."""
_LEAST_RANGE: Final = 1.02
_NS_PER_S: Final = 1e9
_NS_PER_MS: Final = 1e6
_LEAST_SPAN_S: Final = 1e-3
_LEAST_BIN_S: Final = 0.1
_ROUNDING: Final = 1e-9
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

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Return the names of the targets, in the order of the plan; files may have another."""
        return tuple(self.summary.endpoints)

    def windows_s(self) -> list[tuple[float, float]]:
        """Return the spans of the run that were measured, those of a merged result that overlap in one."""
        spans: list[tuple[float, float]] = []
        for begin, end in sorted(part.window_s for part in self.summary.run.merged or []) or [self.window_s()]:
            if spans and begin <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], end))
            else:
                spans.append((begin, end))
        return spans

    @property
    def end_s(self) -> float:
        """Return the end of the run in s since the start of the load."""
        run = self.summary.run
        return run.total_s if run.merged is None else float(len(self.summary.timeline))

    @property
    def shown_to_s(self) -> float:
        """Return the end of the axes of time: of the run, or of what was still seen of servers and machine after it."""
        summary = self.summary
        rows = [*(summary.client.rows if summary.client is not None else [])[-1:]]
        last_s = [row.t_s for row in rows] + [server.rows[-1].t_s for server in (summary.server or {}).values() if server.rows]
        return max(self.end_s, *last_s) if last_s else self.end_s

    def outside_s(self) -> list[tuple[float, float]]:
        """Return the spans of the run that were not measured: warm-up, drain, and the time between the runs of a merged result."""
        spans, reached = [], 0.0
        for begin, end in self.windows_s():
            spans.append((reached, begin))
            reached = max(reached, end)
        return [(left, right) for left, right in [*spans, (reached, self.end_s)] if right - left > _LEAST_SPAN_S]


@dataclass(frozen=True, slots=True)
class Bands:
    """Quantiles over time, NaN in bins of too few values: a p99 of fewer than 100 is nothing but their greatest."""

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
    """Return which of the values to draw: all, or every n-th, and of the slowest the more the slower they are.

    Were a number of the slowest kept and nothing more of those below, the marks would show a gap that is not there.
    """
    known = np.flatnonzero(~np.isnan(values))
    count = len(known)
    if count <= limit:
        return known
    beyond = ALL_OF_THE_SLOWEST * np.exp(np.arange(0, np.log(count / ALL_OF_THE_SLOWEST), 1 / ALL_OF_THE_SLOWEST))
    ranks = np.concatenate([np.arange(ALL_OF_THE_SLOWEST), np.floor(beyond).astype(np.int64)])
    slowest = known[np.argsort(-values[known], kind="stable")[ranks]]
    step = -(-count // (limit - len(ranks)))
    return np.union1d(known[::step], slowest)


def thinned_words(drawn: int, of: int) -> str:
    """Return what the caption says of thinning."""
    if drawn >= of:
        return "The one request is drawn." if of == 1 else f"All {of:,} requests are drawn."
    return (
        f"{drawn:,} of {of:,} requests are drawn: every n-th, the {ALL_OF_THE_SLOWEST} slowest, of the others the more the slower "
        "they are; lines and bands are over all."
    )


def bands_of(spans: Sequence[tuple[float, float]], time_s: Floats, values: Floats) -> Bands:
    """Return `bands` of each span, with a gap between two of them; what lies before a span's begin belongs to the one before."""
    span = np.maximum(np.searchsorted([begin for begin, _ in spans], time_s, side="right") - 1, 0)
    parts = [bands(time_s[span == number], values[span == number]) for number in range(len(spans))]
    gap = [np.nan]

    def joined(name: str) -> Floats:
        return np.concatenate([piece for part in parts for piece in (getattr(part, name), gap)][:-1])

    return Bands(joined("time_s"), joined("p50"), joined("p90"), joined("p99"), max(part.bin_s for part in parts))


def bands(time_s: Floats, values: Floats) -> Bands:
    """Return quantiles of the values in bins of equal width, from the first to the last of them."""
    known = ~np.isnan(values) & ~np.isnan(time_s)
    time_s, values = time_s[known], values[known]
    begin_s, length_s = (float(time_s.min()), float(np.ptp(time_s))) if len(time_s) else (0.0, 0.0)
    bins = _bins_over_time(len(time_s), length_s)
    bin_s = length_s / bins
    index = np.zeros(len(time_s), dtype=np.int64)
    if bin_s > 0:
        index = np.minimum(np.floor((time_s - begin_s) / bin_s).astype(np.int64), bins - 1)
    rows = np.full((bins, len(QUANTILES)), np.nan)
    for row in range(bins):
        own = values[index == row]
        if len(own):
            enough = len(own) * (1 - np.array(QUANTILES)) >= 1 - _ROUNDING
            enough[0] = True
            rows[row] = np.where(enough, np.quantile(own, QUANTILES, method="inverted_cdf"), np.nan)
    middle = np.asarray(begin_s + (np.arange(bins) + 0.5) * bin_s, dtype=np.float64)
    return Bands(middle, rows[:, 0], rows[:, 1], rows[:, 2], bin_s)


def _bins_over_time(count: int, length_s: float) -> int:
    """Return how many bins to make: as many as have a p99 each, and if these are too few for a line, as many as have a p90."""
    bins = count // _IN_A_BIN
    if bins < _LEAST_BINS:
        bins = min(_PLAIN_BINS, count // _LEAST_IN_A_BIN)
    return max(1, min(bins, MAX_BINS, int(length_s / _LEAST_BIN_S)))


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


def log_bins(values: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return middle, width and count of bins that are equally wide on a log axis, more of them the more values there are."""
    known = values[values > 0]
    if not len(known):
        return known, known, np.zeros(0, dtype=np.int64)
    low, high = float(known.min()), float(known.max())
    if high < low * _LEAST_RANGE:  # all the same, or nearly: one bar that can be seen
        edges = np.array([low / _LEAST_RANGE, high * _LEAST_RANGE])
    else:
        bins = min(_HISTOGRAM_BINS, int(np.ceil(_BINS_PER_CUBE_ROOT * np.cbrt(len(known)))))
        edges = np.geomspace(low, high, bins + 1)
        # Rounding must not push the extremes out of the outermost bins.
        edges[0], edges[-1] = low, max(edges[-1], high)
    counts, _ = np.histogram(known, edges)
    return (edges[:-1] + edges[1:]) / 2, np.diff(edges), counts


def axis_type(values: Floats) -> str:
    """Return `log` where a linear axis would show nothing but the slowest."""
    known = values[values > 0]
    return "log" if len(known) and known.max() > _LOG_RATIO * np.median(known) else "linear"


def grouped_medians(x: Floats, y: Floats, groups: int = 20) -> tuple[Floats, Floats]:
    """Return medians of y in groups of about equal size along x, of ten values at least; equal x are never parted."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    groups = int(np.clip(len(x) // _LEAST_IN_A_GROUP, 1, groups))
    edges = np.unique(np.searchsorted(x, x[np.arange(groups) * len(x) // groups]))
    parts = [(begin, end) for begin, end in zip(edges, [*edges[1:], len(x)], strict=True) if end > begin]
    return (
        np.array([np.median(x[begin:end]) for begin, end in parts]),
        np.array([np.quantile(y[begin:end], 0.5, method="inverted_cdf") for begin, end in parts]),
    )


def seconds_together(rows: Sequence[TimelineRow], end_s: float) -> tuple[list[Sequence[TimelineRow]], Floats, int]:
    """Return the timeline in at most `MAX_BINS` groups of successive seconds, how long each group is, and how many seconds it has.

    The run ends within its last second. A last group of less than half its seconds goes to the one before, for a rate over a
    moment is anything.
    """
    width = max(1, -(-len(rows) // MAX_BINS))
    groups = [rows[begin : begin + width] for begin in range(0, len(rows), width)]
    last_s = max(min(end_s - groups[-1][0].t_s, float(len(groups[-1]))), 0.0)
    lengths_s = np.array([float(len(group)) for group in groups[:-1]] + [last_s])
    if len(groups) > 1 and last_s < width / 2:
        groups[-2:] = [[*groups[-2], *groups[-1]]]
        lengths_s = np.append(lengths_s[:-2], lengths_s[-2:].sum())
    return groups, np.maximum(lengths_s, _LEAST_SPAN_S), width
