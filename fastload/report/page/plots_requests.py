"""Plots of single requests: latency over time, distributions, TTFT against prompt length, stalls, errors.

Draws what `requests.csv` holds. Invariant: latencies are of the measured population only, errors of the whole run; a plot without
data is left out, never drawn empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, label, millis, shade, short, step_curve
from fastload.report.page.plots_data import (
    Bands,
    Floats,
    Material,
    axis_type,
    bands,
    bin_width_s,
    grouped_medians,
    log_bins,
    metric_ms,
    ranked,
    since_start_s,
    thin,
    thinned_words,
)
from fastload.report.page.plots_gaps import gap_curves, gap_histogram
from fastload.samples.layout import RECORD_RETRIED, Outcome
from fastload.stats.metrics import METRICS, Records, final

_DISTRIBUTIONS: Final = ("ttft", "tpot", "e2e", "ttfb", "stall")
_ON_AT_FIRST: Final = frozenset({"ttft", "tpot", "e2e", "itl"})
"""The others are in the legend, one click away."""
_MAX_ENDPOINTS: Final = len(PALETTE)
_TIME: Final = "s since the start of the load"
_MARK: Final = {"size": 5, "opacity": 0.55, "line": {"width": 0}}


def request_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    for name in ("ttft", "e2e"):
        yield from _over_time(material, name)
    yield from _cumulative(material)
    yield from _tail(material)
    yield from _histogram(material)
    yield from gap_histogram(material)
    yield from _ttft_by_prompt(material)
    yield from _stalls(material)
    yield from _errors(material)


def _over_time(material: Material, name: str) -> Iterator[Plot]:
    records = material.measured
    values = metric_ms(records, name)
    chosen = thin(values)
    if not len(chosen):
        return
    sent_s = since_start_s(records, "sent_ns")
    lines = bands(sent_s, values)
    title = METRICS[name].label
    yield Plot(
        f"{name}-over-time",
        f"{title} over time",
        f"{title}: {METRICS[name].definition}. By the moment the request was sent. Bands: p50 to p90 and p90 to p99 of every "
        f"{lines.bin_s:.3g} s. {thinned_words(len(chosen), int(np.count_nonzero(~np.isnan(values))))}",
        [*_bands(lines), *_points(material, records, chosen, sent_s, values)],
        {
            "xaxis": axis(_TIME),
            "yaxis": millis(title, type=axis_type(values), **_from_zero(values)),
            "shapes": _outside(material),
        },
    )


def _bands(lines: Bands) -> list[Trace]:
    """Return p50, p90 and p99 as lines with the room between them filled."""
    base = {"type": "scatter", "mode": "lines", "x": lines.time_s, "hovertemplate": "%{fullData.name} %{y:.4g} ms<extra></extra>"}
    tint = "rgba(47,126,216,{})"
    return [
        {**base, "y": lines.p50, "name": "p50", "line": {"color": PALETTE[0], "width": 2.5}},
        {**base, "y": lines.p90, "name": "p90", "line": {"color": PALETTE[0], "width": 1.2}, **_filled(tint.format(0.28))},
        {
            **base,
            "y": lines.p99,
            "name": "p99",
            "line": {"color": PALETTE[0], "width": 1, "dash": "dot"},
            **_filled(tint.format(0.14)),
        },
    ]


def _filled(color: str) -> Trace:
    return {"fill": "tonexty", "fillcolor": color}


def _points(material: Material, records: Records, chosen: NDArray[np.int64], x: Floats, y: Floats) -> list[Trace]:
    """Return the chosen requests as marks, one trace for each endpoint where there are several."""
    assert material.stored is not None
    names = material.stored.endpoints
    endpoint = records["endpoint"][chosen]
    traces: list[Trace] = []
    for number, name in enumerate(names):
        own = chosen[endpoint == number]
        if not len(own):
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": short(x[own]),
                "y": short(y[own]),
                "name": "requests" if len(names) == 1 else label(name),
                "marker": {**_MARK, "color": PALETTE[(number + 1) % len(PALETTE)]},
                "customdata": _identities(records[own]),
                "hovertemplate": "%{y:.4g} ms<br>%{customdata}<extra>%{fullData.name}</extra>",
            }
        )
    return traces


def _identities(records: Records) -> list[str]:
    """Return how each request is called in `requests.csv`."""
    numbers = (records["request_id"] & np.uint64((1 << 40) - 1)).tolist()
    turns = ((records["request_id"] >> np.uint64(40)) + np.uint64(1)).tolist()
    return [
        f"request {number}" if turn == 1 else f"request {number}, turn {turn}" for number, turn in zip(numbers, turns, strict=True)
    ]


def _distributions(material: Material) -> Iterator[tuple[str, str, Floats]]:
    """Yield name, label and values of every distribution; TTFT and E2E also of each endpoint where there are several."""
    records = material.measured
    stored = material.stored
    for name in _DISTRIBUTIONS:
        values = metric_ms(records, name)
        if not np.isnan(values).all():
            yield name, METRICS[name].label, values
    if stored is None or len(stored.endpoints) < 2:
        return
    for name in ("ttft", "e2e"):
        values = metric_ms(records, name)
        for number, endpoint in enumerate(stored.endpoints[:_MAX_ENDPOINTS]):
            own = values[records["endpoint"] == number]
            if not np.isnan(own).all():
                yield name, f"{METRICS[name].label} {label(endpoint)}", own


def _cumulative(material: Material) -> Iterator[Plot]:
    traces = _curves(material, lambda share, _: share * 100)
    if not traces:
        return
    yield Plot(
        "cdf",
        "Cumulative distribution",
        "Share of the requests, of ITL of the gaps, at or below a duration, every value counted. Click a name to show or hide it."
        + _left_out(material),
        traces,
        {"xaxis": millis("duration", type="log"), "yaxis": axis("at or below", ticksuffix=" %", range=[0, 101])},
    )


def _tail(material: Material) -> Iterator[Plot]:
    # The share at or above the value of rank k is (n - k + 1) / n: the slowest of n stands at 1/n, not at 0.
    traces = _curves(material, lambda share, count: (1 - share + 1 / count) * 100)
    if not traces:
        return
    yield Plot(
        "tail",
        "Tail",
        "Share of the requests, of ITL of the gaps, that took a duration or longer, on log axes: 1 % is the slowest of 100."
        + _left_out(material),
        traces,
        {"xaxis": millis("duration", type="log"), "yaxis": axis("this long or longer", type="log", ticksuffix=" %")},
    )


def _curves(material: Material, height: Callable[[Floats, int], Floats]) -> list[Trace]:
    traces: list[Trace] = []
    for number, (name, text, values) in enumerate(_distributions(material)):
        x, share = ranked(values)
        count = int(np.count_nonzero(~np.isnan(values)))
        color = PALETTE[number % len(PALETTE)]
        traces.append(step_curve(text, x, height(share, count), color, shown=name in _ON_AT_FIRST, several=number >= len(PALETTE)))
    traces += gap_curves(material, height)
    return traces


def _left_out(material: Material) -> str:
    count = len(material.stored.endpoints) if material.stored is not None else 0
    return f" Of {count} endpoints the first {_MAX_ENDPOINTS} have curves of their own." if count > _MAX_ENDPOINTS else ""


def _histogram(material: Material) -> Iterator[Plot]:
    traces: list[Trace] = []
    for number, name in enumerate(_DISTRIBUTIONS):
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
            "Histogram",
            "Requests by duration, both axes logarithmic, 60 bins from each metric's least to its greatest value.",
            traces,
            {"barmode": "overlay", "xaxis": millis("duration", type="log"), "yaxis": axis("requests", type="log", dtick=1)},
        )


def _ttft_by_prompt(material: Material) -> Iterator[Plot]:
    records = material.measured
    known = records["input_tokens"] >= 0
    records = records[known]
    values = metric_ms(records, "ttft")
    records, values = records[~np.isnan(values)], values[~np.isnan(values)]
    if not len(values):
        return
    tokens = records["input_tokens"].astype(np.float64)
    chosen = thin(values)
    x, y = grouped_medians(tokens, values)
    median = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": y,
        "name": "median",
        "line": {"color": PALETTE[0], "width": 2.5},
    }
    yield Plot(
        "ttft-by-prompt",
        "TTFT against prompt length",
        f"Input tokens as the server counted them. The line joins medians of up to 20 groups of about equal size. "
        f"{thinned_words(len(chosen), len(values))}",
        [*_points(material, records, chosen, tokens, values), median],
        {
            "xaxis": axis("input tokens", type=axis_type(tokens)),
            "yaxis": millis("TTFT", type=axis_type(values), **_from_zero(values)),
        },
    )


def _stalls(material: Material) -> Iterator[Plot]:
    records = material.measured
    values = metric_ms(records, "stall")
    chosen = thin(values)
    if not len(chosen):
        return
    yield Plot(
        "stalls",
        "Stalls",
        "The longest gap between two tokens of each request, by the moment the request ended. "
        + thinned_words(len(chosen), int(np.count_nonzero(~np.isnan(values)))),
        _points(material, records, chosen, since_start_s(records, "end_ns"), values),
        {"xaxis": axis(_TIME), "yaxis": millis("longest gap", type="log"), "shapes": _outside(material)},
    )


def _errors(material: Material) -> Iterator[Plot]:
    if material.stored is None:
        return
    records = material.stored.records
    retried = (records["flags"] & RECORD_RETRIED) != 0
    last = final(records)
    kinds = [(kind.name.lower(), last[last["outcome"] == kind]) for kind in Outcome if kind is not Outcome.COMPLETED]
    kinds.append(("attempt that was retried", records[retried]))
    kinds = [(name, rows) for name, rows in kinds if len(rows)]
    if not kinds:
        return
    ends_s = since_start_s(records, "end_ns")
    bin_s = bin_width_s(float(np.nanmax(ends_s)))
    traces = []
    for number, (name, rows) in enumerate(kinds):
        bins, counts = np.unique(np.floor(since_start_s(rows, "end_ns") / bin_s), return_counts=True)
        color = GREY if name == "cancelled" else PALETTE[(6 + number) % len(PALETTE)]
        traces.append(
            {
                "type": "bar",
                "x": (bins + 0.5) * bin_s,
                "y": counts,
                "width": bin_s,
                "name": name,
                "marker": {"color": color, "line": {"width": 0}},
                "hovertemplate": "%{x:.4g} s: %{y:,} %{fullData.name}<extra></extra>",
            }
        )
    yield Plot(
        "errors",
        "Errors",
        f"Requests that did not complete, by the moment they ended, in bins of {bin_s:g} s, warm-up and drain included.",
        traces,
        {"barmode": "stack", "xaxis": axis(_TIME), "yaxis": axis("requests", rangemode="tozero"), "shapes": _outside(material)},
    )


def _outside(material: Material) -> list[dict[str, object]]:
    """Return grey bands over what was not measured."""
    return [shade(left, right) for left, right in material.outside_s()]


def _from_zero(values: Floats) -> dict[str, object]:
    return {"rangemode": "tozero"} if axis_type(values) == "linear" else {}
