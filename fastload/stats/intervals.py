"""How far a quantile of a sample may be from the true one: confidence intervals by order statistics.

Whatever the distribution, the number of values below its q-quantile is binomial(n, q), so two order statistics enclose it with a
known probability. The values must be independent; latencies of one run are nearly so as long as the server keeps up. Pure.
Invariant: the interval covers the quantile at least as often as asked for, or there is none.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.stats.histogram import rank

CONFIDENCE: Final = 0.95
_SPREAD: Final = 12.0
"""Standard deviations of the binomial that are summed; beyond, less than 1e-30 is left."""


def interval_ranks(n: int, q: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the order statistics that enclose the q-quantile of n values; None = too few values.

    Each tail has at most half of what confidence leaves.
    """
    if n < 1:
        return None
    reach = int(_SPREAD * math.sqrt(n * q * (1 - q))) + 20
    middle = int(n * q)
    low, high = max(middle - reach, 0), min(middle + reach, n)
    counts = np.arange(low, high, dtype=np.float64)
    # The binomial's probabilities by their ratio, in logarithms so that none underflows, then made to sum to 1.
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - counts) / (counts + 1)) + math.log(q / (1 - q)))])
    chances = np.exp(logs - logs.max())
    below = np.cumsum(chances / chances.sum())
    tail = (1 - confidence) / 2
    # P(X < l) <= tail for the lower rank l, P(X >= u) <= tail for the upper one u.
    lower = low + int(np.searchsorted(below, tail, side="right"))
    upper = low + int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (lower, upper) if lower >= 1 and upper <= n else None


def relative_half_width(values: NDArray[np.float64], q: float, confidence: float = CONFIDENCE) -> float | None:
    """Return half the interval's width over the quantile itself; None = too few values, or a quantile of 0."""
    ranks = interval_ranks(len(values), q, confidence)
    if ranks is None:
        return None
    lower, upper = (at - 1 for at in ranks)
    middle = rank(len(values), q) - 1
    ordered = np.partition(values, sorted({lower, middle, upper}))
    if ordered[middle] <= 0:
        return None
    return float(ordered[upper] - ordered[lower]) / 2 / float(ordered[middle])
