"""Plots of single requests: latency over time, distributions, TTFT against prompt length, stalls, errors.

Draws what `requests.csv` holds. Invariant: latencies are of the measured population only, errors of the whole run; a plot without
data is left out, never drawn empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, label, millis, time_axis
from fastload.report.page.plots_data import (
    Floats,
    Material,
    axis_type,
    bin_width_s,
    grouped_medians,
    metric_ms,
    since_start_s,
    thin,
    thinned_words,
)
from fastload.report.page.plots_distributions import distribution_plots
from fastload.report.page.plots_gaps import gap_histogram
from fastload.report.page.plots_over_time import MAX_ENDPOINTS, endpoint_color, from_zero, outside, over_time, points
from fastload.samples.layout import RECORD_RETRIED, Outcome
from fastload.stats.metrics import Records, final

_LEAST_PROMPT_RATIO: Final = 1.2
"""Prompts that differ less in length tell nothing of what length costs: their plot would be a stripe."""
_PATTERNS: Final = ("", "/", ".", "x", "-", "\\", "+", "|")
"""Fillings of bars, for there are more kinds of errors than colours that can be told apart."""
_NOT_THE_SERVERS: Final = frozenset({"cancelled", "attempt that was retried"})
"""Cancelled by the plan, or made good by another attempt: grey, with fillings of their own."""
_INTEGER_TICKS: Final = 6
"""Up to that count every number of requests has a tick: plotly would put one at 0.5 requests."""


def request_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    for name in ("ttft", "e2e"):
        yield from over_time(material, name)
    yield from distribution_plots(material)
    yield from gap_histogram(material)
    yield from _ttft_by_prompt(material)
    yield from _stalls(material)
    yield from _errors(material)


def _ttft_by_prompt(material: Material) -> Iterator[Plot]:
    records = material.measured
    known = records["input_tokens"] >= 0
    records = records[known]
    values = metric_ms(records, "ttft")
    records, values = records[~np.isnan(values)], values[~np.isnan(values)]
    tokens = records["input_tokens"].astype(np.float64)
    if not len(values) or tokens.max() < _LEAST_PROMPT_RATIO * max(tokens.min(), 1.0):
        return
    chosen = thin(values)
    yield Plot(
        "ttft-by-prompt",
        "TTFT against prompt length: what a longer prompt costs",
        f"Input tokens as the server counted them. A line joins medians of up to 20 groups of about equal size. "
        f"{thinned_words(len(chosen), len(values))}",
        [*points(material, records, chosen, tokens, values), *_medians(material, records, tokens, values)],
        {
            "xaxis": axis("input tokens", type=axis_type(tokens)),
            "yaxis": millis("TTFT", type=axis_type(values), **from_zero(values)),
        },
    )


def _medians(material: Material, records: Records, tokens: Floats, values: Floats) -> Iterator[Trace]:
    """Yield the line of each target."""
    names = material.stored.endpoints if material.stored is not None else ()
    for name in [name for name in material.endpoints if name in names][:MAX_ENDPOINTS]:
        own = records["endpoint"] == names.index(name)
        if not own.any():
            continue
        x, y = grouped_medians(tokens[own], values[own])
        alone = len(names) == 1
        color = PALETTE[0] if alone else endpoint_color(material, name)
        look = {
            "type": "scatter",
            "mode": "lines+markers",
            "line": {"color": color, "width": 2.5},
            "marker": {"size": 5, "color": color},
        }
        called = {"name": "median"} if alone else {"name": f"{label(name)} median", "legendgroup": label(name)}
        yield {**look, "x": x, "y": y, **called}


def _stalls(material: Material) -> Iterator[Plot]:
    records = material.measured
    values = metric_ms(records, "stall")
    chosen = thin(values)
    if not len(chosen):
        return
    yield Plot(
        "stalls",
        "Stalls: the longest gap of each request",
        "The longest gap between two tokens of each request, by the moment the request ended. "
        + thinned_words(len(chosen), int(np.count_nonzero(~np.isnan(values)))),
        points(material, records, chosen, since_start_s(records, "end_ns"), values, with_lines=False),
        {"xaxis": time_axis(material.shown_to_s), "yaxis": millis("longest gap", type="log"), "shapes": outside(material)},
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
    highest = np.zeros(int(np.floor(np.nanmax(ends_s) / bin_s)) + 1)
    for number, (name, rows) in enumerate(kinds):
        bins, counts = np.unique(np.floor(since_start_s(rows, "end_ns") / bin_s), return_counts=True)
        highest[np.maximum(bins, 0).astype(np.int64)] += counts
        color = GREY if name in _NOT_THE_SERVERS else PALETTE[(6 + number) % len(PALETTE)]
        traces.append(
            {
                "type": "bar",
                "x": (bins + 0.5) * bin_s,
                "y": counts,
                "width": bin_s,
                "name": name,
                "marker": {"color": color, "line": {"width": 0}, "pattern": {"shape": _PATTERNS[number % len(_PATTERNS)]}},
                "hovertemplate": "%{x:.4g} s: %{y:,} %{fullData.name}<extra></extra>",
            }
        )
    ticks = {"dtick": 1} if highest.max() <= _INTEGER_TICKS else {}
    yield Plot(
        "errors",
        "Errors: when requests failed, and how",
        f"Requests that did not complete, by the moment they ended, in bins of {bin_s:g} s, warm-up and drain included.",
        traces,
        {
            "barmode": "stack",
            "xaxis": time_axis(material.shown_to_s),
            "yaxis": axis(f"requests in {bin_s:g} s", rangemode="tozero", **ticks),
            "shapes": outside(material),
        },
        rescalable=False,
    )
