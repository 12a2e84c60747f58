"""Plots of the gaps between tokens: their distribution out of the exact histogram that a result keeps.

Draws what `histograms.npz` holds; where that file is not there, the summary's quantiles stand in for the curve and there are no
bars. Invariant: every gap of the measured window counts, none is thinned out; a curve leaves out points, not gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, count_axis, label, millis, step_curve
from fastload.report.page.plots_data import Floats, Material
from fastload.stats.histogram import Counts, Moments, midpoints
from fastload.stats.result import Quantiles

_NS_PER_MS: Final = 1e6
_POINTS: Final = 300
_BINS: Final = 60
_LEAST_RATIO: Final = 1.004
"""Bins no narrower than four of the histogram's buckets: else one bin has two buckets and its neighbour three."""
_MOST_APART: Final = 3
"""Up to so many targets each has its curve at first: more would hide each other, and all of them together are shown."""
_QUANTILES: Final = (("min", 0.0), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))


def gap_curves(material: Material, height: Callable[[Floats, int], Floats], shape: str = "hv") -> list[Trace]:
    """Return ITL, and that of each target where there are several, as dotted curves.

    Args:
        material: the run.
        height: of a share and the number of gaps.
        shape: of the steps, as plotly calls it.
    """
    gaps = list(_distributions(material))
    if not gaps:
        itl = material.summary.latency_ms.itl
        return [] if itl is None else [_by_quantiles(itl, height, shape)]
    traces = []
    apart = 1 < len(gaps) <= _MOST_APART + 1
    for number, (name, counts, moments) in enumerate(gaps):
        x, share = ranked_counts(counts, moments)
        # The first is of all together, target n has the colour it has everywhere.
        line = {"color": GREY if number == 0 else PALETTE[number % len(PALETTE)], "dash": "dot", "shape": shape}
        traces.append(step_curve(name, x, height(share, moments.count), line, shown=(number > 0) == apart))
    return traces


def gap_histogram(material: Material) -> Iterator[Plot]:
    """Yield the gaps by duration."""
    traces: list[Trace] = []
    for number, (name, counts, moments) in enumerate(_distributions(material)):
        middle, width, numbers = gap_bins(counts, moments)
        traces.append(
            {
                "type": "bar",
                "x": middle,
                "width": width,
                "y": numbers,
                "name": name,
                "marker": {"color": PALETTE[number % len(PALETTE)], "line": {"width": 0}},
                "opacity": 0.7,
                "visible": True if number == 0 else "legendonly",
                "hovertemplate": "about %{x:.4g} ms: %{y:,} gaps<extra>%{fullData.name}</extra>",
            }
        )
    if traces:
        yield Plot(
            "itl-histogram",
            "Histogram of ITL: how even the stream is",
            "Gaps between the content events of a stream by duration, both axes logarithmic: every known gap of the measured "
            f"window, at most {_BINS} bins.",
            traces,
            {"barmode": "overlay", "xaxis": millis("gap", type="log"), "yaxis": count_axis("gaps", traces)},
        )


def ranked_counts(counts: Counts, moments: Moments) -> tuple[Floats, Floats]:
    """Return values in ms and the share of all gaps at or below each, at buckets that lie dense in the tail."""
    filled = np.flatnonzero(counts)
    cumulated = np.cumsum(counts[filled]).astype(np.float64)
    ranks = np.concatenate([np.linspace(1, moments.count, _POINTS), moments.count + 1 - np.geomspace(1, moments.count, _POINTS)])
    chosen = np.unique(np.minimum(np.searchsorted(cumulated, np.sort(ranks)), len(filled) - 1))
    values = np.clip(midpoints()[filled[chosen]], moments.minimum, moments.maximum)
    return values / _NS_PER_MS, cumulated[chosen] / moments.count


def gap_bins(counts: Counts, moments: Moments) -> tuple[Floats, Floats, Floats]:
    """Return middle and width (ms) and count of bins that are equally wide on a log axis."""
    filled = np.flatnonzero(counts)
    values = np.clip(midpoints()[filled], max(moments.minimum, 1), moments.maximum)
    low, high = max(float(moments.minimum), 1.0), max(float(moments.maximum), 1.0)
    bins = int(np.clip(np.log(high / low) / np.log(_LEAST_RATIO), 1, _BINS))
    edges = np.geomspace(low, max(high, low * _LEAST_RATIO), bins + 1)
    # Rounding must not push the extremes out of the outermost bins.
    edges[0], edges[-1] = low, max(edges[-1], high)
    numbers, _ = np.histogram(values, edges, weights=counts[filled].astype(np.float64))
    return (edges[:-1] + edges[1:]) / 2 / _NS_PER_MS, np.diff(edges) / _NS_PER_MS, numbers


def _distributions(material: Material) -> Iterator[tuple[str, Counts, Moments]]:
    """Yield name, histogram and moments of all gaps, and of each target's where there are several."""
    stored = material.histograms
    if stored is None:
        return
    names = [name for name in material.endpoints if name in stored.endpoints] if len(stored.endpoints) > 1 else []
    # In the order of the plan, whatever that of the file: the n-th has the n-th colour in every plot.
    rows = [(f"ITL {label(name)}", stored.endpoints.index(name)) for name in names[: len(PALETTE)]]
    for name, row in [("ITL", None), *rows]:
        counts, moments = stored.table.of(row)
        if moments is not None:
            yield name, counts, moments


def _by_quantiles(block: Quantiles, height: Callable[[Floats, int], Floats], shape: str) -> Trace:
    """Return the curve of a distribution that is known by its quantiles only."""
    places = [(getattr(block, name), max(share, 1 / block.count)) for name, share in _QUANTILES]
    values, shares = zip(*places, (block.max, 1.0), strict=True)
    line = {"color": GREY, "dash": "dot", "shape": shape}
    curve = step_curve("ITL (quantiles)", np.array(values), height(np.array(shares), block.count), line, shown=True)
    return {**curve, "mode": "lines+markers"}
