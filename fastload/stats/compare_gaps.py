"""The gaps between tokens (ITL) in a comparison: values from the exact histograms, chance from the seconds.

A result keeps no single gaps, but their exact histogram over the measured window, and a coarse one of each second. The values are
taken from the first. Blocks are made of whole seconds of the second, so a difference smaller than its buckets (`RESOLUTION` on
either side) cannot be told from chance, and intervals are that much wider. Invariant: seconds that are not wholly inside the
measured window are in no block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_SUB_BITS
from fastload.stats.blocks import NS_PER_MS
from fastload.stats.bootstrap import BinnedQuantiles, Floats, Layout, Ratio
from fastload.stats.contenders import Contender, RunSamples, Statistic, Tested
from fastload.stats.histogram import Counts, Moments, lower_edges, quantiles
from fastload.stats.kernels import COARSE_SUB_BITS
from fastload.stats.seconds import coarse_midpoints

RESOLUTION: Final = 1 / (2 << COARSE_SUB_BITS)
"""A value is within this share of the middle of its coarse bucket: 0.8 %."""
_NS_PER_S: Final = 1_000_000_000


def gap_statistics(
    name: str, sides: tuple[Contender, Contender], block_ns: int, stats: Sequence[str], ranks: Mapping[str, float]
) -> list[Tested]:
    """Return the statistics of the gaps; none where a side's are not known or both have none.

    Args:
        name: of the metric, `itl`.
        sides: A and B.
        block_ns: how long a block has to be; here it is whole seconds.
        stats: `mean` and keys of `ranks`.
        ranks: what quantile each other statistic is.
    """
    first, second = (side.gaps for side in sides)
    if first is None or second is None:
        return []
    both = (first, second)
    n_a, n_b = (int(counts.sum()) for counts, _ in both)
    if n_a == 0 and n_b == 0:
        return []
    cut = [[_blocks(run, block_ns) for run in side.runs] for side in sides]
    layout = _layout(cut)
    effect = _cliffs_delta(first[0], second[0])
    ordered = sorted(stats, key=lambda stat: stat != "mean")
    ranked = [stat for stat in ordered if stat in ranks]
    mean: Statistic | None = None
    at_ranks: Statistic | None = None
    if layout is not None:
        rows = np.concatenate([table for runs in cut for table in runs if table is not None])
        mean = Ratio(rows @ (coarse_midpoints() / NS_PER_MS), rows.sum(axis=1))
        at_ranks = BinnedQuantiles(rows, coarse_edges() / NS_PER_MS, [ranks[stat] for stat in ranked])
    return [
        Tested(
            name=f"{name}.{stat}",
            unit="ms",
            layout=layout,
            statistic=mean if stat == "mean" else at_ranks,
            column=0 if stat == "mean" else ranked.index(stat),
            effect=effect,
            n=(n_a, n_b),
            exact=(_value(first, stat, ranks), _value(second, stat, ranks)),
            resolution=RESOLUTION,
        )
        for stat in ordered
    ]


def coarse_edges() -> Floats:
    """Return the lower edge of each coarse bucket, and as one more element the end of the last."""
    return np.concatenate([np.zeros(1), lower_edges()[1 :: 1 << (HISTOGRAM_SUB_BITS - COARSE_SUB_BITS)]])


def _blocks(run: RunSamples, block_ns: int) -> Floats | None:
    """Return the coarse histogram of each block of a run, shape (blocks, buckets); None where there is no whole second."""
    if run.seconds is None:
        return None
    first = -((run.epoch_ns - run.window_ns[0]) // _NS_PER_S)
    end = (run.window_ns[1] - run.epoch_ns) // _NS_PER_S
    in_a_block = max(-(-block_ns // _NS_PER_S), 1)
    blocks = (end - first) // in_a_block
    if blocks < 1:
        return None
    parts = np.array_split(np.arange(first, end), blocks)
    return np.stack([run.seconds.counts(int(part[0]), int(part[-1]) + 1).astype(np.float64) for part in parts])


def _layout(cut: Sequence[Sequence[Floats | None]]) -> Layout | None:
    """Return how many blocks each side has; None where a run has none, and then nothing can be tested."""
    numbers = [[0 if table is None else len(table) for table in runs] for runs in cut]
    if any(number == 0 for runs in numbers for number in runs):
        return None
    if len(numbers[0]) == len(numbers[1]):
        return Layout(tuple(numbers[0]), tuple(numbers[1]))
    return Layout((sum(numbers[0]),), (sum(numbers[1]),))


def _value(gaps: tuple[Counts, Moments | None], stat: str, ranks: Mapping[str, float]) -> float:
    """Return a statistic in ms, as the summary has it; NaN without gaps."""
    counts, moments = gaps
    if moments is None:
        return math.nan
    if stat == "mean":
        return moments.mean / NS_PER_MS
    value = quantiles(counts, (ranks[stat],), moments.minimum, moments.maximum)[0]
    return math.nan if value is None else value / NS_PER_MS


def _cliffs_delta(a: Counts, b: Counts) -> float | None:
    """Return P(B > A) - P(B < A) for a gap drawn from each, gaps of one bucket being equal."""
    ours, theirs = (counts.astype(np.float64) for counts in (a, b))
    if ours.sum() == 0 or theirs.sum() == 0:
        return None
    up_to: NDArray[np.float64] = np.cumsum(ours)
    below, above = up_to - ours, up_to[-1] - up_to
    return float(theirs @ (below - above) / ours.sum() / theirs.sum())
