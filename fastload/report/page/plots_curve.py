"""Plots of a search or a ramp: load against throughput, and load against latency.

Invariant: a step whose run was INVALID has no mark, since its numbers say nothing of the server; the caption counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, millis
from fastload.stats.search_result import CurvePoint

_SYMBOLS: Final = {True: "circle", False: "x"}


def curve_plots(over: str, points: Sequence[CurvePoint]) -> Iterator[Plot]:
    """Yield the capacity curve of a search or a ramp; nothing without a valid step."""
    steps = sorted((point for point in points if point.valid), key=lambda point: point.load)
    if not steps:
        return
    invalid = len(points) - len(steps)
    note = "One mark a step: a dot met what was asked, a cross did not."
    note += f" {invalid} of {len(points)} steps were INVALID and are not drawn." if invalid else ""
    loads = axis("users" if over == "users" else "requests/s asked for", rangemode="tozero")
    yield Plot(
        "capacity-throughput",
        "Capacity: throughput",
        note,
        [
            _trace("output tokens/s", steps, "output_tokens_per_s", PALETTE[0]),
            {**_trace("requests/s", steps, "requests_per_s", PALETTE[1]), "yaxis": "y2"},
            {**_trace("goodput requests/s", steps, "goodput_per_s", PALETTE[2]), "yaxis": "y2"},
        ],
        {
            "xaxis": loads,
            "yaxis": axis("output tokens/s", rangemode="tozero"),
            "yaxis2": axis("requests/s", rangemode="tozero", overlaying="y", side="right", showgrid=False),
        },
    )
    latencies = (("TTFT p50", "ttft_p50"), ("TTFT p99", "ttft_p99"), ("ITL p50", "itl_p50"), ("ITL p99", "itl_p99"))
    traces = [_trace(name, steps, field, PALETTE[number]) for number, (name, field) in enumerate(latencies)]
    yield Plot("capacity-latency", "Capacity: latency", note, traces, {"xaxis": loads, "yaxis": millis("latency", type="log")})


def _trace(name: str, steps: Sequence[CurvePoint], field: str, color: str) -> Trace:
    marks: dict[str, Any] = {"size": 9, "symbol": [_SYMBOLS[bool(step.met)] for step in steps]}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [step.load for step in steps],
        "y": [getattr(step, field) for step in steps],
        "name": name,
        "line": {"color": color, "width": 1.5},
        "marker": {**marks, "color": color, "line": {"color": GREY, "width": 0}},
        "hovertemplate": "%{x:.4~g}: %{y:.4~g}<extra>%{fullData.name}</extra>",
    }
