"""TTFT and E2E over time: single requests as marks, quantiles as lines; of several targets each its own.

Draws what `requests.csv` holds. Invariant: a quantile is drawn only where there are enough requests for it, and only of one target:
quantiles of two targets together are those of neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, between, label, millis, shade, short, time_axis
from fastload.report.page.plots_data import (
    Bands,
    Floats,
    Material,
    axis_type,
    bands_of,
    metric_ms,
    since_start_s,
    thin,
    thinned_words,
)
from fastload.stats.metrics import METRICS, Records

MAX_ENDPOINTS: Final = len(PALETTE)
"""Targets that have lines of their own: more cannot be told apart."""
_MARK: Final = {"size": 5, "opacity": 0.5, "line": {"width": 0}}
_WORDS: Final = {
    "ttft": "TTFT over time: how long users waited for the first token",
    "e2e": "E2E over time: how long a whole answer took",
}


def over_time(material: Material, name: str) -> Iterator[Plot]:
    """Yield the plot of a metric; nothing where no request has it."""
    records = material.measured
    values = metric_ms(records, name)
    chosen = thin(values)
    if not len(chosen):
        return
    sent_s = since_start_s(records, "sent_ns")
    traces, how = _quantiles(material, records, sent_s, values)
    title = METRICS[name].label
    yield Plot(
        f"{name}-over-time",
        _WORDS[name],
        f"{title}: {METRICS[name].definition}. By the moment the request was sent.{how} "
        f"{thinned_words(len(chosen), int(np.count_nonzero(~np.isnan(values))))}",
        [*points(material, records, chosen, sent_s, values), *traces],  # lines above the marks, which would hide them
        {
            "xaxis": time_axis(material.shown_to_s),
            "yaxis": millis(title, type=axis_type(values), **from_zero(values)),
            "shapes": outside(material),
        },
    )


def points(
    material: Material, records: Records, chosen: NDArray[np.int64], x: Floats, y: Floats, *, with_lines: bool = True
) -> list[Trace]:
    """Return the chosen requests as marks, one trace for each endpoint where there are several.

    Targets that have a line too are in the legend by that, and come and go with it.
    """
    assert material.stored is not None
    names = material.stored.endpoints
    endpoint = records["endpoint"][chosen]
    traces: list[Trace] = []
    for number, name in enumerate(material.endpoints):
        own = chosen[endpoint == names.index(name)] if name in names else chosen[:0]
        if not len(own):
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": short(x[own]),
                "y": short(y[own]),
                "name": "requests" if len(names) == 1 else label(name),
                "marker": {**_MARK, "color": endpoint_color(material, name)},
                "legendgroup": label(name),
                "showlegend": len(names) == 1 or not with_lines or number >= MAX_ENDPOINTS,
                "customdata": _identities(records[own]),
                "hovertemplate": "%{y:.4g} ms<br>%{customdata}<extra>%{fullData.name}</extra>",
            }
        )
    return traces


def endpoint_color(material: Material, name: str) -> str:
    """Return the colour of a target, the same in every plot, whatever the order of targets in a file; grey beyond all colours."""
    number = material.endpoints.index(name)
    return PALETTE[(number + 1) % len(PALETTE)] if number < MAX_ENDPOINTS else GREY


def left_out(material: Material, what: str) -> str:
    """Return what a caption says of more targets than there are colours."""
    count = len(material.endpoints)
    return f" Of {count} targets the first {MAX_ENDPOINTS} have {what} of their own." if count > MAX_ENDPOINTS else ""


def outside(material: Material) -> list[dict[str, object]]:
    """Return grey bands over what was not measured."""
    return [shade(left, right) for left, right in material.outside_s()]


def from_zero(values: Floats) -> dict[str, object]:
    """Return what makes a linear axis begin at 0."""
    return {"rangemode": "tozero"} if axis_type(values) == "linear" else {}


def _quantiles(material: Material, records: Records, sent_s: Floats, values: Floats) -> tuple[list[Trace], str]:
    """Return the lines, and what the caption says of them."""
    assert material.stored is not None
    names = material.stored.endpoints
    if len(names) == 1:
        lines = bands_of(material.windows_s(), sent_s, values)
        every = (
            f" Bands: p50 to p90 and p90 to p99 of every {lines.bin_s:.3g} s. A p90 wants at least 10 requests there, a p99 100."
            if len(lines.time_s) > 1
            else ""
        )
        return _fan(lines), every
    traces: list[Trace] = []
    for name in [name for name in material.endpoints if name in names][:MAX_ENDPOINTS]:
        own = records["endpoint"] == names.index(name)
        lines = bands_of(material.windows_s(), sent_s[own], values[own])
        color = endpoint_color(material, name)
        own_lines = [
            *_line(f"{label(name)} p50", lines.time_s, lines.p50, {"color": color, "width": 2.5}),
            *_line(f"{label(name)} p99", lines.time_s, lines.p99, {"color": color, "width": 1.2, "dash": "dot"}),
        ]
        traces += ({**line, "legendgroup": label(name)} for line in own_lines)
    how = " Lines: p50 and p99 of each target over successive spans of time. A p99 wants at least 100 requests there."
    return traces, how + left_out(material, "lines and colours")


def _fan(lines: Bands) -> list[Trace]:
    """Return p50, p90 and p99 as lines with the room between them filled."""
    tint = "rgba(47,126,216,{})"
    color = PALETTE[0]
    return [
        between(lines.time_s, lines.p50, lines.p90, tint.format(0.24)),
        between(lines.time_s, lines.p90, lines.p99, tint.format(0.12)),
        *_line("p99", lines.time_s, lines.p99, {"color": color, "width": 1.2, "dash": "dot"}),
        *_line("p90", lines.time_s, lines.p90, {"color": color, "width": 1.2}),
        *_line("p50", lines.time_s, lines.p50, {"color": color, "width": 2.5}),
    ]


def _line(name: str, x: Floats, y: Floats, line: dict[str, Any]) -> list[Trace]:
    """Return a line, nothing where it has no value; a value between two gaps is a mark."""
    if np.isnan(y).all():
        return []
    look = {"type": "scatter", "mode": "lines+markers", "name": name, "line": line, "marker": {"size": 4, "color": line["color"]}}
    return [{**look, "x": x, "y": y, "hovertemplate": "%{fullData.name} %{y:.4g} ms<extra></extra>"}]


def _identities(records: Records) -> list[str]:
    """Return how each request is called in `requests.csv`."""
    numbers = (records["request_id"] & np.uint64((1 << 40) - 1)).tolist()
    turns = ((records["request_id"] >> np.uint64(40)) + np.uint64(1)).tolist()
    return [
        f"request {number}" if turn == 1 else f"request {number}, turn {turn}" for number, turn in zip(numbers, turns, strict=True)
    ]
