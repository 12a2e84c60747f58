"""The statistics a gate may ask for: how their names are read, and their value for a set of numbers or a histogram.

    statistic = "mean" | "min" | "max" | "stdev" | "cv" | "p" percent      percent: 42, 99, 99.9, 99.99; 999 means 99.9

A quantile is nearest rank: the smallest value with at least that share of all at or below it. `stdev` is the population's, and
`cv`, the coefficient of variation, is stdev / mean. Pure. Invariant: of no numbers there is no statistic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastload.stats.blocks import exact_block, histogram_block
from fastload.stats.histogram import Counts, Moments, quantile, rank
from fastload.stats.metrics import Values
from fastload.stats.result import Quantiles

PLAIN: Final = ("mean", "min", "max", "stdev", "cv")
CV: Final = "cv"
SPREADS: Final = ("stdev", CV)
"""Those that say nothing about a single request."""
EXAMPLES: Final = "mean min max stdev cv, or a quantile such as p50 p99 p99.9 p99.99"
MAX_DECIMALS: Final = 4
"""Ranks are counted in millionths (`fastload.stats.histogram`)."""
_ALIASES: Final = {"avg": "mean", "median": "p50"}
_QUANTILE: Final = re.compile(r"p(?P<whole>\d{1,2})(?:\.(?P<rest>\d+))?")
_RUN_TOGETHER: Final = re.compile(r"p(?P<whole>9\d)(?P<rest>\d+)")
_MS_NS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic; `q` is the quantile it stands for, None for the plain ones."""

    name: str
    q: float | None = None

    def of(self, values_ns: Values) -> float | None:
        """Return it in ms (cv: a ratio) of values in ns, none of them NaN; None = there are none."""
        if len(values_ns) == 0:
            return None
        if self.q is None:
            block = exact_block(values_ns)
            return None if block is None else self._plain(block)
        at = rank(len(values_ns), self.q) - 1
        return float(np.partition(values_ns, at)[at]) / _MS_NS

    def of_histogram(self, counts: Counts, moments: Moments | None) -> float | None:
        """Return it like `of` from a histogram of ns: quantiles within 0.05 %, the others exact."""
        if moments is None:
            return None
        if self.q is not None:
            value = quantile(counts, self.q, float(moments.minimum), float(moments.maximum))
            return None if value is None else value / _MS_NS
        block = histogram_block(counts, moments)
        return None if block is None else self._plain(block)

    def _plain(self, block: Quantiles) -> float | None:
        if self.name == CV:
            return block.stdev / block.mean if block.mean > 0 else None
        return float(getattr(block, self.name))


def read_statistic(text: str) -> Statistic | None:
    """Return the statistic a name stands for, in its one spelling (`p99.9` is `p999`, as in the result); None = it is none."""
    name = _ALIASES.get(text.lower(), text.lower())
    if name in PLAIN:
        return Statistic(name)
    match = _QUANTILE.fullmatch(name) or _RUN_TOGETHER.fullmatch(name)
    if match is None:
        return None
    whole, rest = match["whole"], (match["rest"] or "").rstrip("0")
    millionths = int(whole) * 10_000 + int(rest.ljust(MAX_DECIMALS, "0") or "0")
    if len(rest) > MAX_DECIMALS or millionths == 0:
        return None
    spelled = "p999" if millionths == 999_000 else f"p{int(whole)}{f'.{rest}' if rest else ''}"
    return Statistic(spelled, millionths / 1e6)
