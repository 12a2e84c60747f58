"""Resampling of time blocks: how much two runs can differ by chance alone.

Requests that run at the same time share the server's batch, queue and caches, so they are no independent observations: resampling
them one by one finds intervals several times too narrow. A run is cut into blocks of equal length instead, and whole blocks are
drawn. What is left of the dependence crosses a few block edges only.

- A permutation test gives p: if both sides are the same, which block belongs to which side is arbitrary. Its level is exact.
- A bootstrap gives the interval of a difference: each side's blocks are drawn with replacement.

Every draw is a row of block weights, so a statistic of thousands of draws is one matrix product. Columns are the blocks of side A
followed by those of B. Invariant: the same seed gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERMUTATIONS: Final = 4999
"""With these a p of 0.001 is known within 0.0009, and the smallest one is 1 / 5000: enough for some 30 metrics corrected."""
RESAMPLES: Final = 2000
"""The ends of a 95 % interval then stand on 50 draws each."""
GRID: Final = 4096
"""Values a quantile can take among the resamples: its rank is known within 0.03 %, and within 0.001 % in the upper 2 %."""
_TAIL: Final = 0.98
_CHUNK: Final = 512
"""Rows at once: 512 x 4096 doubles are 16 MB."""
_Z: Final = 1.959964
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Weights of every block in every draw, of each side; shape (draws, blocks of A + blocks of B)."""

    a: Floats
    b: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """How many blocks each side has, in each iteration of the comparison.

    Attributes:
        a: blocks of side A, by iteration.
        b: the same of side B.
        paired: block i of A and block i of B are the same time (a race): they are drawn and swapped together.
    """

    a: tuple[int, ...]
    b: tuple[int, ...]
    paired: bool = False

    def __post_init__(self) -> None:
        assert len(self.a) == len(self.b)
        assert not self.paired or self.a == self.b

    @property
    def fewest(self) -> int:
        """Return the number of blocks of the smaller side."""
        return min(sum(self.a), sum(self.b))

    def observed(self) -> Draws:
        """Return one draw: every block once, on its own side."""
        a, b = sum(self.a), sum(self.b)
        return Draws(np.repeat([1.0, 0.0], [a, b])[None, :], np.repeat([0.0, 1.0], [a, b])[None, :])

    def permuted(self, seed: int, draws: int = PERMUTATIONS) -> Draws:
        """Return draws that deal the blocks to the sides at random, within each iteration."""
        rng = np.random.default_rng(seed)
        a, b = sum(self.a), sum(self.b)
        if self.paired:
            swap = rng.integers(0, 2, size=(draws, a)).astype(np.float64)
            mine = np.hstack([1 - swap, swap])
            return Draws(mine, 1 - mine)
        mine = np.zeros((draws, a + b))
        for of_a, of_b in _strata(self.a, self.b):
            columns = np.array([*of_a, *[a + index for index in of_b]])
            # The columns with the smallest of as many random numbers are a random subset.
            order = np.argsort(rng.random((draws, len(columns))), axis=1)[:, : len(of_a)]
            np.put_along_axis(mine, columns[order], 1.0, axis=1)
        return Draws(mine, 1 - mine)

    def resampled(self, seed: int, draws: int = RESAMPLES) -> Draws:
        """Return draws that take each side's blocks with replacement, within each iteration."""
        rng = np.random.default_rng(seed)
        a, b = sum(self.a), sum(self.b)
        mine, theirs = np.zeros((draws, a + b)), np.zeros((draws, a + b))
        for of_a, of_b in _strata(self.a, self.b):
            drawn = rng.multinomial(len(of_a), np.full(len(of_a), 1 / len(of_a)), size=draws)
            mine[:, of_a.start : of_a.stop] = drawn
            if not self.paired:
                drawn = rng.multinomial(len(of_b), np.full(len(of_b), 1 / len(of_b)), size=draws)
            theirs[:, a + of_b.start : a + of_b.stop] = drawn
        return Draws(mine, theirs)


class Ratio:
    """A sum over blocks divided by another: a mean, a rate, a share."""

    def __init__(self, numerators: Floats, denominators: Floats) -> None:
        self._parts = np.stack([numerators, denominators], axis=1)

    def of(self, weights: Floats) -> Floats:
        """Return the statistic of each draw, shape (draws, 1); NaN where it does not exist."""
        sums = weights @ self._parts
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)
        return ratio[:, None]


class Quantiles:
    """Nearest-rank quantiles of values that lie in blocks.

    Args:
        values: all values of both sides.
        blocks: the column each belongs to.
        columns: number of blocks.
        ranks: which quantiles, 0 to 1.
    """

    def __init__(self, values: Floats, blocks: NDArray[np.int64], columns: int, ranks: Sequence[float]) -> None:
        self._grid = _grid(values)
        at = np.searchsorted(self._grid, values)
        counts = np.bincount(blocks * len(self._grid) + at, minlength=columns * len(self._grid))
        self._cumulative = np.cumsum(counts.reshape(columns, len(self._grid)), axis=1).astype(np.float64)
        self._ranks = ranks

    def of(self, weights: Floats) -> Floats:
        """Return the quantiles of each draw, shape (draws, ranks); NaN where a draw has no value."""
        found = np.full((len(weights), len(self._ranks)), np.nan)
        for begin in range(0, len(weights), _CHUNK):
            cumulative = weights[begin : begin + _CHUNK] @ self._cumulative
            total = cumulative[:, -1]
            for column, rank in enumerate(self._ranks):
                # Half a count below the rank: the sums are whole numbers, and 0.99 * 100 is a little more than 99.
                wanted = np.maximum(np.ceil(rank * total - 1e-6), 1) - 0.5
                index = np.minimum(_first_at_least(cumulative, wanted), len(self._grid) - 1)
                found[begin : begin + _CHUNK, column] = np.where(total > 0, self._grid[index], np.nan)
        return found


class BinnedQuantiles:
    """Quantiles of values that are known by the bucket only; inside a bucket they are taken to lie evenly.

    Args:
        rows: what each block has in each bucket, shape (blocks, buckets).
        edges: lower edge of each bucket, and the end of the last.
        ranks: which quantiles, 0 to 1.
    """

    def __init__(self, rows: Floats, edges: Floats, ranks: Sequence[float]) -> None:
        used = np.flatnonzero(rows.sum(axis=0))
        self._cumulative = np.cumsum(rows[:, used], axis=1)
        self._low, self._width = edges[used], edges[used + 1] - edges[used]
        self._ranks = ranks

    def of(self, weights: Floats) -> Floats:
        """Return the quantiles of each draw, shape (draws, ranks); NaN where a draw has no value."""
        found = np.full((len(weights), len(self._ranks)), np.nan)
        if not len(self._low):
            return found
        for begin in range(0, len(weights), _CHUNK):
            cumulative = weights[begin : begin + _CHUNK] @ self._cumulative
            total, every = cumulative[:, -1], np.arange(len(cumulative))
            for column, rank in enumerate(self._ranks):
                wanted = np.maximum(np.ceil(rank * total - 1e-6), 1) - 0.5
                index = np.minimum(_first_at_least(cumulative, wanted), len(self._low) - 1)
                before = np.where(index > 0, cumulative[every, index - 1], 0.0)
                inside = np.maximum(cumulative[every, index] - before, 1.0)
                value = self._low[index] + self._width[index] * (wanted - before) / inside
                found[begin : begin + _CHUNK, column] = np.where(total > 0, value, np.nan)
        return found


def _first_at_least(cumulative: Floats, wanted: Floats) -> NDArray[np.int64]:
    """Return for each row, which ascends, how many of its values are below what is wanted of it."""
    every = np.arange(len(cumulative))
    low, high = np.zeros(len(cumulative), dtype=np.int64), np.full(len(cumulative), cumulative.shape[1])
    for _ in range(cumulative.shape[1].bit_length()):
        middle = (low + high) // 2
        below = (middle < high) & (cumulative[every, np.minimum(middle, cumulative.shape[1] - 1)] < wanted)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low


def p_value(observed: float, permuted: Floats) -> float | None:
    """Return how often chance alone makes a difference at least as large; None where there is no difference to judge."""
    if math.isnan(observed):
        return None
    # A draw without a value cannot be called smaller. Rounding must not make an equal one smaller either.
    as_large = np.count_nonzero(~(np.abs(permuted) < abs(observed) * (1 - 1e-9)))
    return float((as_large + 1) / (len(permuted) + 1))


def interval(observed: float, resampled: Floats, blocks: int) -> tuple[float, float] | None:
    """Return a 95 % interval around a difference; None where it does not exist.

    The percentiles of the resamples, pushed out from the difference: with few blocks the bootstrap sees too little spread, by
    sqrt(1 - 1/blocks), and takes a normal distribution for Student's.
    """
    known = resampled[~np.isnan(resampled)]
    if math.isnan(observed) or len(known) < len(resampled) / 2 or blocks < 2:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    wider = _student(blocks - 1) / _Z * math.sqrt(blocks / (blocks - 1))
    return float(observed - wider * max(observed - low, 0.0)), float(observed + wider * max(high - observed, 0.0))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number (Holm): the chance of any false alarm among them stays that of one test."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - place)))
        corrected[index] = highest
    return corrected


def cliffs_delta(a: Floats, b: Floats) -> float | None:
    """Return P(B > A) - P(B < A) for a value drawn from each: -1 all of B below A, 0 no tendency, 1 all above."""
    if len(a) == 0 or len(b) == 0:
        return None
    ordered = np.sort(a)
    below = np.searchsorted(ordered, b, side="left")
    not_above = np.searchsorted(ordered, b, side="right")
    return float((below.sum(dtype=np.float64) - (len(a) - not_above).sum(dtype=np.float64)) / len(a) / len(b))


def _grid(values: Floats) -> Floats:
    """Return the values a quantile may take, ascending: all of them, or so many by rank, denser in the tail."""
    distinct = np.unique(values)
    if len(distinct) <= GRID:
        return distinct
    half = GRID // 2
    ranks = np.concatenate([np.linspace(0, _TAIL, half, endpoint=False), np.linspace(_TAIL, 1, half)])
    places = np.round(ranks * (len(values) - 1)).astype(np.int64)
    chosen: Floats = np.unique(np.sort(values)[places])
    return chosen


def _strata(a: Sequence[int], b: Sequence[int]) -> Iterator[tuple[range, range]]:
    """Yield the positions of each iteration's blocks within either side."""
    from_a = from_b = 0
    for of_a, of_b in zip(a, b, strict=True):
        yield range(from_a, from_a + of_a), range(from_b, from_b + of_b)
        from_a, from_b = from_a + of_a, from_b + of_b


def _student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's distribution (Cornish-Fisher; within 1 % from 4 degrees on)."""
    z = _Z
    first = (z**3 + z) / (4 * degrees)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    return z + first + second + third
