"""Plots of the run as a whole, second by second: throughput, load, ITL over time and against the requests in flight.

Draws the timeline of the summary, so it needs no `requests.csv`. Invariant: where seconds are put together, counts become rates per
second and of a p99 the worst second is shown; the caption says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, millis, shade
from fastload.report.page.plots_data import Floats, Material, axis_type, seconds_together
from fastload.stats.result import TimelineRow

_TIME: Final = "s since the start of the load"
_Rows = list[Sequence[TimelineRow]]


def timeline_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    rows = material.summary.timeline
    if not rows:
        return
    groups, width_s = seconds_together(rows)
    time_s = np.array([(group[0].t_s + group[-1].t_s + 1) / 2 for group in groups])
    outside = [shade(left, right) for left, right in material.outside_s()]
    together = f" {width_s} seconds are put together in each point." if width_s > 1 else ""
    yield _throughput(time_s, groups, outside, together)
    yield _load(time_s, groups, outside, together)
    yield from _failures(material, time_s, groups, outside)
    yield from _itl_over_time(time_s, groups, outside, together)
    yield from _itl_by_in_flight(groups, together)


def _throughput(time_s: Floats, groups: _Rows, outside: list[dict[str, object]], together: str) -> Plot:
    tokens = _line("output tokens/s", time_s, _per_second(groups, lambda row: row.output_tokens), PALETTE[0])
    done = _line("completed requests/s", time_s, _per_second(groups, lambda row: row.completed), PALETTE[1])
    return Plot(
        "throughput",
        "Throughput",
        "Output tokens (left) and completed requests (right) of every second; the last one is not a whole second." + together,
        [tokens, {**done, "yaxis": "y2"}],
        {
            "xaxis": axis(_TIME),
            "yaxis": axis("output tokens/s", rangemode="tozero"),
            "yaxis2": axis("requests/s", rangemode="tozero", overlaying="y", side="right", showgrid=False),
            "shapes": outside,
        },
    )


def _load(time_s: Floats, groups: _Rows, outside: list[dict[str, object]], together: str) -> Plot:
    traces = [_line("started requests/s", time_s, _per_second(groups, lambda row: row.started), PALETTE[2])]
    for name, read, color in (
        ("in flight", lambda row: row.in_flight, PALETTE[0]),
        ("users", lambda row: row.users, GREY),
    ):
        values = _greatest(groups, read)
        if not np.isnan(values).all():
            traces.append({**_line(name, time_s, values, color), "line": {"color": color, "width": 2, "shape": "hvh"}})
    return Plot(
        "load",
        "Load",
        "What was put on the server: users, requests in flight, requests started in every second." + together,
        traces,
        {"xaxis": axis(_TIME), "yaxis": axis("users, requests", rangemode="tozero"), "shapes": outside},
    )


def _failures(material: Material, time_s: Floats, groups: _Rows, outside: list[dict[str, object]]) -> Iterator[Plot]:
    """Yield the failures of every second where `requests.csv`, which tells their kinds, is not there."""
    failed = _per_second(groups, lambda row: row.failed)
    if material.stored is not None or not failed.any():
        return
    bars = {"type": "bar", "x": time_s, "y": failed, "name": "failed requests/s", "marker": {"color": PALETTE[6]}}
    yield Plot(
        "errors",
        "Errors",
        "Failed requests a second; their kinds over time are in requests.csv, which is not here.",
        [bars],
        {"xaxis": axis(_TIME), "yaxis": axis("requests/s", rangemode="tozero"), "shapes": outside},
    )


def _itl_over_time(time_s: Floats, groups: _Rows, outside: list[dict[str, object]], together: str) -> Iterator[Plot]:
    p50, p99 = _middle(groups, lambda row: row.itl_p50), _greatest(groups, lambda row: row.itl_p99)
    if np.isnan(p50).all():
        return
    upper = _line("p99", time_s, p99, PALETTE[0])
    upper = {
        **upper,
        "line": {"color": PALETTE[0], "width": 1, "dash": "dot"},
        "fill": "tonexty",
        "fillcolor": "rgba(47,126,216,0.2)",
    }
    more = " Of p50 the median and of p99 the worst second is shown." if together else ""
    kind = axis_type(p99)
    yield Plot(
        "itl-over-time",
        "ITL over time",
        f"Gaps between the tokens of a stream that ended in a second, all endpoints together, within 0.8 %.{together}{more}",
        [_line("p50", time_s, p50, PALETTE[0]), upper],
        {
            "xaxis": axis(_TIME),
            "yaxis": millis("ITL", type=kind, **({"rangemode": "tozero"} if kind == "linear" else {})),
            "shapes": outside,
        },
    )


def _itl_by_in_flight(groups: _Rows, together: str) -> Iterator[Plot]:
    flight = _greatest(groups, lambda row: row.in_flight)
    traces: list[Trace] = []
    for name, values, color in (
        ("p50", _middle(groups, lambda row: row.itl_p50), PALETTE[0]),
        ("p99", _greatest(groups, lambda row: row.itl_p99), PALETTE[1]),
    ):
        known = ~np.isnan(values) & ~np.isnan(flight)
        if known.any():
            mark = {"color": color, "size": 7, "opacity": 0.65}
            trace = {"type": "scatter", "mode": "markers", "x": flight[known], "y": values[known], "name": name, "marker": mark}
            traces.append({**trace, "hovertemplate": "%{x:,} in flight: %{y:.4g} ms<extra>%{fullData.name}</extra>"})
    if traces:
        yield Plot(
            "itl-by-in-flight",
            "ITL against requests in flight",
            "One mark a second: the requests in flight at its end, and the gaps that ended in it; warm-up and drain included."
            + together,
            traces,
            {"xaxis": axis("requests in flight", rangemode="tozero"), "yaxis": millis("ITL", rangemode="tozero")},
        )


def _line(name: str, x: Floats, y: Floats, color: str) -> Trace:
    line = {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"color": color, "width": 2}}
    return {**line, "hovertemplate": "%{x:.4g} s: %{y:,.4~g}<extra>%{fullData.name}</extra>"}


def _per_second(groups: _Rows, read: Callable[[TimelineRow], int]) -> Floats:
    return np.array([sum(map(read, group)) / len(group) for group in groups])


def _known(groups: _Rows, read: Callable[[TimelineRow], float | None]) -> list[list[float]]:
    return [[value for row in group if (value := read(row)) is not None] for group in groups]


def _greatest(groups: _Rows, read: Callable[[TimelineRow], float | None]) -> Floats:
    return np.array([max(values, default=np.nan) for values in _known(groups, read)], dtype=np.float64)


def _middle(groups: _Rows, read: Callable[[TimelineRow], float | None]) -> Floats:
    return np.array([np.median(values) if values else np.nan for values in _known(groups, read)], dtype=np.float64)
