"""Whether a series rises or falls: the test of Mann and Kendall.

It counts pairs in order against pairs out of order, so it asks nothing of the values' distribution and an outlier weighs no more
than any other value. Source: Kendall, Rank Correlation Methods (1975). Pure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def trend_score(series: NDArray[np.float64]) -> float:
    """Return the standard score of a trend: 0 = none, above 3 it hardly happens without one; negative = falling.

    Costs the square of the length; ties count as neither and shrink the variance.
    """
    n = len(series)
    if n < 3:
        return 0.0
    above = np.sign(series[None, :] - series[:, None])
    balance = float(np.triu(above, 1).sum())
    _, ties = np.unique(series, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 0.0
    # Continuity correction: the balance moves in steps of 2.
    return (balance - math.copysign(1.0, balance)) / math.sqrt(variance) if balance else 0.0
