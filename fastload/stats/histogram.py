"""The log-linear histogram of `fastload.samples.layout`: from value to bucket and back, merging, quantiles.

A histogram is a bare array of counts, so it merges by addition: associative, commutative and exact across workers and hosts.
What counts cannot tell exactly (sum, sum of squares, minimum, maximum) lives beside them in `Moments`. Knows nothing of what
the values are.

Invariant: `lower_edges()[i] <= v < lower_edges()[i + 1]` for i = `bucket_index(v)` and every 0 <= v < 2**48, and the value a
bucket is reported as differs from every value in it by at most 0.05 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS, HISTOGRAM_OCTAVES, HISTOGRAM_SUB_BITS

Counts = NDArray[np.uint64]
Nanoseconds = NDArray[np.uint64]

MAX_VALUE: Final = (1 << HISTOGRAM_OCTAVES) - 1
"""Larger values share the last bucket with this one."""

QUANTILE_RESOLUTION: Final = 1_000_000
"""Quantiles are taken in millionths, so that a rank is integer arithmetic: 0.07 * 100 is 7.000000000000001 in floats, rank 8."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Exact integer facts about a set of values; the sums are Python integers and cannot overflow."""

    count: int
    total: int
    total_of_squares: int
    minimum: int
    maximum: int

    @property
    def mean(self) -> float:
        """Return the arithmetic mean; there must be at least one value."""
        return self.total / self.count

    @property
    def stdev(self) -> float:
        """Return the population standard deviation: sqrt(n * sum(v**2) - sum(v)**2) / n, no cancellation in integers."""
        return sqrt(self.count * self.total_of_squares - self.total * self.total) / self.count


def empty_counts() -> Counts:
    """Return a histogram that holds nothing."""
    return np.zeros(HISTOGRAM_BUCKETS, dtype=np.uint64)


def bucket_index(values: Nanoseconds) -> NDArray[np.intp]:
    """Return the bucket of each value; values above `MAX_VALUE` go to the last one, none is refused."""
    clipped = np.minimum(values, np.uint64(MAX_VALUE))
    bits = clipped.astype(np.float64).view(np.uint64)
    shifted = (bits >> np.uint64(52 - HISTOGRAM_SUB_BITS)).astype(np.intp)
    return np.where(clipped == 0, 0, shifted + (1 - (1023 << HISTOGRAM_SUB_BITS)))


@cache
def lower_edges() -> NDArray[np.float64]:
    """Return the smallest value of each bucket, and as one more element the end of the last. Shared: do not write to it."""
    steps = np.arange(HISTOGRAM_BUCKETS, dtype=np.uint64) + np.uint64(1023 << HISTOGRAM_SUB_BITS)
    edges = np.concatenate([np.zeros(1), (steps << np.uint64(52 - HISTOGRAM_SUB_BITS)).view(np.float64)])
    edges.flags.writeable = False
    return edges


@cache
def midpoints() -> NDArray[np.float64]:
    """Return the value each bucket is reported as: the middle of the integers in it. Shared: do not write to it.

    Below 2**SUB_BITS a bucket holds one integer or none, so small values are reported exactly.
    """
    edges = lower_edges()
    first, last = np.ceil(edges[:-1]), np.ceil(edges[1:]) - 1
    middle = np.where(last >= first, (first + last) / 2, edges[:-1])
    middle.flags.writeable = False
    return middle


def rank(count: int, q: float) -> int:
    """Return the 1-based nearest rank of quantile `q`: the smallest k with k >= q * count, at least 1 ("inverted_cdf").

    The smallest value with at least q * count values at or below it. With few values a high quantile is therefore the largest
    one: p99 of 10 values is their maximum.
    """
    return max(1, -(-count * round(q * QUANTILE_RESOLUTION) // QUANTILE_RESOLUTION))


def merge(histograms: Iterable[Counts]) -> Counts:
    """Return the sum of `histograms`; of none, an empty one."""
    merged = empty_counts()
    for counts in histograms:
        merged += counts
    return merged


def quantile(counts: Counts, q: float, minimum: float | None = None, maximum: float | None = None) -> float | None:
    """Return the nearest-rank quantile, within 0.05 %; None when the histogram is empty.

    `minimum` and `maximum` are the exact extremes where they are known: no quantile is reported beyond them.
    """
    return quantiles(counts, (q,), minimum, maximum)[0]


def quantiles(
    counts: Counts, qs: Sequence[float], minimum: float | None = None, maximum: float | None = None
) -> list[float | None]:
    """Return `quantile` for each of `qs` in one pass over the counts."""
    cumulated = np.cumsum(counts, dtype=np.uint64)
    count = int(cumulated[-1])
    if count == 0:
        return [None] * len(qs)
    ranks = np.array([rank(count, q) for q in qs], dtype=np.uint64)
    values = midpoints()[np.searchsorted(cumulated, ranks, side="left")]
    return [float(value) for value in np.clip(values, minimum, maximum)]


def approximate_moments(counts: Counts) -> tuple[float, float] | None:
    """Return mean and population standard deviation of the bucket middles, for histograms kept without `Moments`."""
    count = int(counts.sum())
    if count == 0:
        return None
    weights = counts.astype(np.float64)
    mean = float(weights @ midpoints()) / count
    return mean, sqrt(float(weights @ (midpoints() - mean) ** 2) / count)


def extremes(counts: Counts) -> tuple[float, float] | None:
    """Return the smallest and the largest value as their buckets tell; None when the histogram is empty."""
    filled = np.flatnonzero(counts)
    if filled.size == 0:
        return None
    return float(midpoints()[filled[0]]), float(midpoints()[filled[-1]])
