"""Plots of the run as a whole, second by second: throughput, load, ITL over time and against the requests in flight.

Draws the timeline of the summary, so it needs no `requests.csv`. Invariant: where seconds are put together, counts become rates per
second and of a p99 the worst second is shown; the caption says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, between, millis, panels, shade, time_axis
from fastload.report.page.plots_data import Floats, Material, axis_type, seconds_together
from fastload.stats.result import TimelineRow

_ENOUGH_TOKENS: Final = 100
"""Tokens of a second that a p99 of its gaps takes: of fewer it is their greatest."""
_FROM_ZERO: Final[dict[str, Any]] = {"rangemode": "tozero"}


@dataclass(frozen=True, slots=True)
class _Course:
    """The timeline as it is drawn.

    Attributes:
        groups: seconds put together.
        time_s: the middle of each group.
        length_s: how long each group is.
        axis: of the time.
        outside: grey bands over what was not measured.
        together: what captions say of groups of several seconds; empty where each is one.
    """

    groups: list[Sequence[TimelineRow]]
    time_s: Floats
    length_s: Floats
    axis: dict[str, Any]
    outside: list[dict[str, Any]]
    together: str

    def per_second(self, read: Callable[[TimelineRow], int]) -> Floats:
        """Return a count as a rate."""
        rates: Floats = np.array([sum(map(read, group)) for group in self.groups]) / self.length_s
        return rates

    def greatest(self, read: Callable[[TimelineRow], float | None]) -> Floats:
        """Return the greatest of each group, NaN where there is none."""
        return np.array([max(values, default=np.nan) for values in self._known(read)], dtype=np.float64)

    def middle(self, read: Callable[[TimelineRow], float | None]) -> Floats:
        """Return the median of each group, NaN where there is none."""
        return np.array([np.median(values) if values else np.nan for values in self._known(read)], dtype=np.float64)

    def _known(self, read: Callable[[TimelineRow], float | None]) -> list[list[float]]:
        return [[value for row in group if (value := read(row)) is not None] for group in self.groups]


def timeline_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    rows = material.summary.timeline
    if not rows:
        return
    groups, length_s, width_s = seconds_together(rows, material.end_s)
    time_s = np.array([group[0].t_s for group in groups]) + length_s / 2
    outside = [shade(left, right) for left, right in material.outside_s()]
    together = f" {width_s} seconds are put together in each point." if width_s > 1 else ""
    course = _Course(groups, time_s, length_s, time_axis(material.shown_to_s), outside, together)
    yield _throughput(course)
    yield from _load(course)
    yield from _failures(material, course)
    yield from _itl_over_time(course)
    yield from _itl_by_in_flight(course)


def _throughput(course: _Course) -> Plot:
    started = _line("started requests/s", course.time_s, course.per_second(lambda row: row.started), PALETTE[2], dash="dot")
    done = _line("completed requests/s", course.time_s, course.per_second(lambda row: row.completed), PALETTE[1])
    tokens = _line("output tokens/s", course.time_s, course.per_second(lambda row: row.output_tokens), PALETTE[0])
    requests = axis("requests/s", **_FROM_ZERO)
    alone = not tokens["y"].any()
    layout = {"xaxis": course.axis, "yaxis": requests}
    if not alone:
        started, done = ({**trace, "yaxis": "y2"} for trace in (started, done))
        layout = panels(course.axis, axis("output tokens/s", **_FROM_ZERO), requests)
    return Plot(
        "throughput",
        "Throughput: what the server got done",
        f"{'Requests started and completed' if alone else 'Output tokens, and requests started and completed,'} in every second."
        + course.together,
        [started, done] if alone else [tokens, started, done],
        {**layout, "shapes": course.outside},
        rescalable=False,
    )


def _load(course: _Course) -> Iterator[Plot]:
    traces = []
    for name, read, line in (
        # The wide line below, for in a closed loop both are mostly the same.
        ("users", lambda row: row.users, {"color": GREY, "width": 5}),
        ("requests in flight", lambda row: row.in_flight, {"color": PALETTE[0], "width": 2}),
    ):
        values = course.greatest(read)
        if not np.isnan(values).all():
            traces.append({**_line(name, course.time_s, values, ""), "line": {**line, "shape": "hvh"}})
    if traces:
        yield Plot(
            "load",
            "Load: what was put on the server",
            "Users and requests in flight at the end of every second." + course.together,
            traces,
            {"xaxis": course.axis, "yaxis": axis("users, requests", **_FROM_ZERO), "shapes": course.outside},
            rescalable=False,
        )


def _failures(material: Material, course: _Course) -> Iterator[Plot]:
    """Yield the failures of every second where `requests.csv`, which tells their kinds, is not there."""
    failed = course.per_second(lambda row: row.failed)
    if material.stored is not None or not failed.any():
        return
    bars = {"type": "bar", "x": course.time_s, "y": failed, "name": "failed requests/s", "marker": {"color": PALETTE[6]}}
    yield Plot(
        "errors",
        "Errors: when requests failed",
        "Failed requests a second; their kinds over time are in requests.csv, which is not here.",
        [bars],
        {"xaxis": course.axis, "yaxis": axis("requests/s", **_FROM_ZERO), "shapes": course.outside},
        rescalable=False,
    )


def _itl_over_time(course: _Course) -> Iterator[Plot]:
    p50, p99 = course.middle(lambda row: row.itl_p50), course.greatest(_itl_p99)
    if np.isnan(p50).all():
        return
    upper = _line("p99", course.time_s, p99, PALETTE[0])
    upper = {**upper, "line": {"color": PALETTE[0], "width": 1.2, "dash": "dot"}}
    more = " Of p50 the median and of p99 the worst second is shown." if course.together else ""
    kind = axis_type(p99)
    yield Plot(
        "itl-over-time",
        "ITL over time: how fast the text flowed",
        "Gaps between the tokens of a stream that ended in a second, all endpoints together, within 0.8 %. A p99 is drawn of "
        f"{_ENOUGH_TOKENS} tokens or more.{course.together}{more}",
        [
            between(course.time_s, p50, p99, "rgba(47,126,216,0.2)"),
            *([] if np.isnan(p99).all() else [upper]),
            _line("p50", course.time_s, p50, PALETTE[0]),
        ],
        {
            "xaxis": course.axis,
            "yaxis": millis("ITL", type=kind, **(_FROM_ZERO if kind == "linear" else {})),
            "shapes": course.outside,
        },
    )


def _itl_by_in_flight(course: _Course) -> Iterator[Plot]:
    flight = course.greatest(lambda row: row.in_flight)
    traces: list[Trace] = []
    for name, values, color, symbol in (
        ("p50", course.middle(lambda row: row.itl_p50), PALETTE[0], "circle"),
        ("p99", course.greatest(_itl_p99), PALETTE[1], "diamond"),
    ):
        known = ~np.isnan(values) & ~np.isnan(flight)
        if known.any():
            mark = {"color": color, "size": 7, "opacity": 0.65, "symbol": symbol}
            trace = {"type": "scatter", "mode": "markers", "x": flight[known], "y": values[known], "name": name, "marker": mark}
            traces.append(
                {**trace, "cliponaxis": False, "hovertemplate": "%{x:,} in flight: %{y:.4g} ms<extra>%{fullData.name}</extra>"}
            )
    if traces:
        yield Plot(
            "itl-by-in-flight",
            "ITL against requests in flight: what more load costs",
            "One mark a second: the requests in flight at its end, and the gaps that ended in it; warm-up and drain included."
            + course.together,
            traces,
            {"xaxis": axis("requests in flight", **_FROM_ZERO), "yaxis": millis("ITL", **_FROM_ZERO)},
        )


def _itl_p99(row: TimelineRow) -> float | None:
    return row.itl_p99 if row.output_tokens >= _ENOUGH_TOKENS else None


def _line(name: str, x: Floats, y: Floats, color: str, dash: str = "solid") -> Trace:
    line = {"type": "scatter", "mode": "lines+markers", "x": x, "y": y, "name": name, "marker": {"size": 4}}
    return {
        **line,
        "line": {"color": color, "width": 2, "dash": dash},
        "hovertemplate": "%{x:.4g} s: %{y:,.4~g}<extra>%{fullData.name}</extra>",
    }
