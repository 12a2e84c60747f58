"""Plots of a search or a ramp: load against throughput, and load against latency, with the load that was found.

Invariant: a step whose run was INVALID has no mark, since its numbers say nothing of the server; the caption counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fastload.report.page.plots import GREY, LEGEND, MARGIN, PALETTE, Axis, Plot, Trace, axis, label, millis, panels
from fastload.stats.search_result import CurvePoint

_SYMBOLS: Final = {True: "circle", False: "x"}
_LATENCIES: Final = (
    ("TTFT p99", "ttft_p99", PALETTE[1], "solid"),
    ("TTFT p50", "ttft_p50", PALETTE[0], "solid"),
    ("ITL p99", "itl_p99", PALETTE[1], "dot"),
    ("ITL p50", "itl_p50", PALETTE[0], "dot"),
)


def curve_plots(over: str, points: Sequence[CurvePoint], found: Mapping[str, float | None] | None = None) -> Iterator[Plot]:
    """Yield the capacity curve of a search or a ramp; nothing without a valid step.

    Args:
        over: `users` or `rate`.
        points: the steps.
        found: loads to mark, by what they are called; None = there is no such load.
    """
    steps = sorted((point for point in points if point.valid), key=lambda point: point.load)
    if not steps:
        return
    invalid = len(points) - len(steps)
    note = "One mark a step: a dot met what was asked, a cross did not. Lines join the medians of steps at one load."
    note += f" {invalid} of {len(points)} steps were INVALID and are not drawn." if invalid else ""
    loads = axis("users" if over == "users" else "requests/s asked for", rangemode="tozero")
    lines = _lines({name: load for name, load in (found or {}).items() if load is not None})
    yield _throughput(steps, loads, lines, note)
    traces = [trace for name, field, color, dash in _LATENCIES for trace in _curve(name, steps, field, color, dash)]
    if traces:
        yield Plot(
            "capacity-latency",
            "Capacity: how long users wait at each load",
            note,
            traces,
            {"xaxis": loads, "yaxis": millis("latency", type="log"), **lines},
        )


def _throughput(steps: Sequence[CurvePoint], loads: Axis, lines: Mapping[str, Any], note: str) -> Plot:
    tokens = _curve("output tokens/s", steps, "output_tokens_per_s", PALETTE[0])
    done = _curve("requests/s", steps, "requests_per_s", PALETTE[1])
    good = _curve("goodput requests/s", steps, "goodput_per_s", PALETTE[2], "dash")
    requests = axis("requests/s", rangemode="tozero")
    layout = {"xaxis": loads, "yaxis": requests}
    if tokens:
        done, good = ([{**trace, "yaxis": "y2"} for trace in traces] for traces in (done, good))
        layout = panels(loads, axis("output tokens/s", rangemode="tozero"), requests)
    return Plot(
        "capacity-throughput",
        "Capacity: where more load brings no more throughput",
        note,
        [*tokens, *done, *good],
        {**layout, **lines},
        rescalable=False,
    )


def _lines(found: Mapping[str, float]) -> dict[str, Any]:
    """Return a vertical line with its name at each load that was found."""
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1.5, "dash": "dash"}}
    name = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False}
    # The lower load has its name on its left and the higher one on its right, for they may be next to each other.
    sides = [(text, load, "right" if load == min(found.values()) else "left") for text, load in found.items()]
    return {
        "shapes": [{**line, "x0": load, "x1": load} for load in found.values()],
        "annotations": [{**name, "x": load, "xanchor": side, "text": label(f"{text}: {load:,.4g}")} for text, load, side in sides],
        "legend": {**LEGEND, "y": 1.1},
        "margin": {**MARGIN, "t": 56},
    }


def _curve(name: str, steps: Sequence[CurvePoint], field: str, color: str, dash: str = "solid") -> list[Trace]:
    """Return the steps as marks, and a line through the median of each load; nothing where no step has a value."""
    known = [(step, getattr(step, field)) for step in steps if getattr(step, field) is not None]
    if not known:
        return []
    loads = sorted({step.load for step, _ in known})
    medians = [float(np.median([value for step, value in known if step.load == load])) for load in loads]
    marks: dict[str, Any] = {"size": 9, "symbol": [_SYMBOLS[bool(step.met)] for step, _ in known], "color": color}
    hover = "%{x:.4~g}: %{y:.4~g}<extra>%{fullData.name}</extra>"
    together = {"type": "scatter", "name": name, "legendgroup": name}
    return [
        {
            **together,
            "mode": "markers",
            "x": [step.load for step, _ in known],
            "y": [value for _, value in known],
            "marker": marks,
            "showlegend": False,
            "hovertemplate": hover,
        },
        {
            **together,
            "mode": "lines",
            "x": loads,
            "y": medians,
            "line": {"color": color, "width": 1.5, "dash": dash},
            "hoverinfo": "skip",
        },
    ]
