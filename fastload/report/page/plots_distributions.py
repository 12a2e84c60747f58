"""How latencies are distributed: cumulative, by their tail, and as a histogram; of several targets each its own.

Draws what `requests.csv` holds, and with it the gaps of `histograms.npz`. Invariant: every value counts, none is left out; curves
are the steps of the empirical distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.report.page.plots import PALETTE, Plot, Trace, axis, count_axis, label, millis, step_curve
from fastload.report.page.plots_data import Floats, Material, log_bins, metric_ms, ranked
from fastload.report.page.plots_gaps import gap_curves
from fastload.report.page.plots_over_time import MAX_ENDPOINTS, endpoint_color, left_out
from fastload.stats.metrics import METRICS

_METRICS: Final = ("ttft", "tpot", "e2e", "ttfb", "stall")
_ON_AT_FIRST: Final = frozenset({"ttft", "tpot", "e2e"})
"""The others are in the legend, one click away."""
_OF_EACH_ENDPOINT: Final = {"ttft": "solid", "e2e": "dash"}
"""With several targets colour tells the target, and dashes the metric."""


_STRAY_PERCENT: Final = 0.1
_ROOM: Final = 1.06


@dataclass(frozen=True, slots=True)
class _Distribution:
    label: str
    values: Floats
    color: str
    dash: str
    shown: bool


def distribution_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    cumulative = _curves(material, lambda share, _: share * 100, "hv")
    duration = millis("duration", type="log", **_without_strays(cumulative))
    if cumulative:
        yield Plot(
            "cdf",
            "Cumulative distribution: how many had it within a time",
            "Share of the requests, of ITL of the gaps, at or below a duration; every value counts. A click shows or hides a name."
            + left_out(material, "curves"),
            [_from_nothing(curve) for curve in cumulative],
            {"xaxis": duration, "yaxis": axis("at or below", ticksuffix=" %", range=[0, 101])},
            rescalable=False,
        )
    # The share at or above the value of rank k is (n - k + 1) / n: the slowest of n stands at 1/n, not at 0.
    tail = _curves(material, lambda share, count: (1 - share + 1 / count) * 100, "vh")
    if tail:
        yield Plot(
            "tail",
            "Tail: how many waited longer",
            "Share of the requests, of ITL of the gaps, that took a duration or longer, on log axes: 1 % is the slowest of 100."
            + left_out(material, "curves"),
            tail,
            {"xaxis": duration, "yaxis": axis("this long or longer", type="log", ticksuffix=" %")},
        )
    yield from _histogram(material)


def _distributions(material: Material) -> Iterator[_Distribution]:
    """Yield every distribution that has values; with several targets TTFT and E2E of each, and those of all together on demand."""
    records = material.measured
    endpoints = material.stored.endpoints if material.stored is not None else ()
    several = len(endpoints) > 1
    for number, name in enumerate(_METRICS):
        values = metric_ms(records, name)
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        apart = several and name in _OF_EACH_ENDPOINT
        title = METRICS[name].label
        shown = name in _ON_AT_FIRST and not several
        yield _Distribution(f"{title}, all" if apart else title, known, PALETTE[number], "solid", shown)
        for endpoint in [name for name in material.endpoints if name in endpoints][:MAX_ENDPOINTS] if apart else ():
            own = values[(records["endpoint"] == endpoints.index(endpoint)) & ~np.isnan(values)]
            if len(own):
                color, dash = endpoint_color(material, endpoint), _OF_EACH_ENDPOINT[name]
                yield _Distribution(f"{title} {label(endpoint)}", own, color, dash, shown=True)


def _curves(material: Material, height: Callable[[Floats, int], Floats], shape: str) -> list[Trace]:
    traces: list[Trace] = []
    for one in _distributions(material):
        x, share = ranked(one.values)
        line = {"shape": shape, "color": one.color, "dash": one.dash}
        traces.append(step_curve(one.label, x, height(share, len(one.values)), line, shown=one.shown))
    return traces + gap_curves(material, height, shape)


def _from_nothing(curve: Trace) -> Trace:
    """Return a cumulative curve that rises from 0 % at its least value."""
    return {
        **curve,
        "mode": "lines",
        "x": np.concatenate([curve["x"][:1], curve["x"]]),
        "y": np.concatenate([np.zeros(1, np.float32), curve["y"]]),
    }


def _without_strays(curves: Sequence[Trace]) -> dict[str, Any]:
    """Return the range of a log axis without the least 0.1 % of the curves shown: one tiny gap would take half the width."""
    ends: list[float] = []
    for curve in curves:
        known = (curve["x"] > 0) & (curve["y"] >= _STRAY_PERCENT)
        if curve["visible"] is True and known.any():
            ends += [float(curve["x"][known].min()), float(curve["x"].max())]
    return {"range": [float(np.log10(min(ends) / _ROOM)), float(np.log10(max(ends) * _ROOM))]} if ends else {}


def _histogram(material: Material) -> Iterator[Plot]:
    traces: list[Trace] = []
    for number, name in enumerate(_METRICS):
        values = metric_ms(material.measured, name)
        middle, width, counts = log_bins(values[~np.isnan(values)])
        if not len(counts):
            continue
        traces.append(
            {
                "type": "bar",
                "x": middle,
                "width": width,
                "y": counts,
                "name": METRICS[name].label,
                "marker": {"color": PALETTE[number], "line": {"width": 0}},
                "opacity": 0.7,
                "visible": True if name in _ON_AT_FIRST else "legendonly",
                "hovertemplate": "about %{x:.4g} ms: %{y:,} requests<extra>%{fullData.name}</extra>",
            }
        )
    if traces:
        yield Plot(
            "histogram",
            "Histogram: which durations are usual, which are rare",
            "Requests by duration, both axes logarithmic. Each metric has bins of its own, as many as its values are worth, so the "
            f"heights of two metrics do not compare.{' All targets together.' if len(material.endpoints) > 1 else ''}",
            traces,
            {"barmode": "overlay", "xaxis": millis("duration", type="log"), "yaxis": count_axis("requests", traces)},
        )
