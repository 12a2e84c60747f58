"""Turns values and histograms into the quantile blocks of the result.

Knows nothing of metrics: numbers and a divisor (ns to ms or us) in, a block or None out. Invariant: min <= p50 <= ... <= max.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.stats.histogram import Counts, Moments, approximate_moments, extremes, quantiles, rank
from fastload.stats.result import Quantiles, ShortQuantiles

NS_PER_US: Final = 1e3
NS_PER_MS: Final = 1e6
QUANTILES: Final = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Keys of a block and the quantiles they stand for."""


def exact_block(values_ns: NDArray[np.float64], divisor: float = NS_PER_MS) -> Quantiles | None:
    """Return the exact block of `values_ns` (NaN = no value); None when there is none."""
    ordered = np.sort(values_ns[~np.isnan(values_ns)])
    count = len(ordered)
    if count == 0:
        return None
    return Quantiles(
        count=count,
        # The mean of equal values can round just past them.
        mean=float(np.clip(ordered.mean(), ordered[0], ordered[-1])) / divisor,
        stdev=float(ordered.std()) / divisor,
        min=float(ordered[0]) / divisor,
        max=float(ordered[-1]) / divisor,
        **{name: float(ordered[rank(count, q) - 1]) / divisor for name, q in QUANTILES.items()},
    )


def histogram_block(counts: Counts, moments: Moments | None = None, divisor: float = NS_PER_MS) -> Quantiles | None:
    """Return the block of a histogram; mean, stdev and extremes are exact with `moments`, within 0.05 % without."""
    edges = extremes(counts)
    approximate = approximate_moments(counts)
    if edges is None or approximate is None:
        return None
    low, high = edges if moments is None else (float(moments.minimum), float(moments.maximum))
    mean, stdev = approximate if moments is None else (moments.mean, moments.stdev)
    at = [value for value in quantiles(counts, tuple(QUANTILES.values()), low, high) if value is not None]
    return Quantiles(
        count=int(counts.sum()),
        mean=mean / divisor,
        stdev=stdev / divisor,
        min=low / divisor,
        max=high / divisor,
        **{name: value / divisor for name, value in zip(QUANTILES, at, strict=True)},
    )


def short_block(counts: Counts, divisor: float) -> ShortQuantiles | None:
    """Return `histogram_block` in brief."""
    block = histogram_block(counts, None, divisor)
    if block is None:
        return None
    return ShortQuantiles(count=block.count, mean=block.mean, p50=block.p50, p99=block.p99, max=block.max)
