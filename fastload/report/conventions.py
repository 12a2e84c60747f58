"""One recording under the rules of several tools: as a table with a line on each difference, and as JSON.

Knows the shapes of `fastload.stats.conventions` and computes nothing. Invariant: a range is shown as a range, and what cannot
be told as nothing, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastload.report.exports.recording import Recording
from fastload.report.fitting import Fitting
from fastload.report.plan_words import api_of
from fastload.stats import kernels as k
from fastload.stats.conventions import Convention, Recorded, Told, conventions

_METRICS: Final = ("ttft", "tpot", "itl")
_SHOWN: Final = ("p50", "p99")
_DIGITS: Final = 3
_NOTHING: Final = "-"
_TITLE: Final = "The same recording under other rules, ms"


def read_conventions(directory: Path, names: list[str]) -> list[Convention]:
    """Return ours and each convention that is named, of a stored run.

    Raises:
        FastloadError: a file of the result is missing or damaged.
    """
    recording = Recording(directory)
    table = recording.histograms.table
    counts, moments = table.of(None)
    api = api_of(recording.summary.run.plan)
    return conventions(Recorded(recording.measured, counts, moments, table.total(k.WINDOW_COALESCED), api), names)


def print_conventions(found: list[Convention], console: Console) -> None:
    """Print the table, then per tool and metric why it differs."""
    console.print(Fitting([_wide(found), _tall(found)]))
    for one in found:
        for metric in _METRICS:
            console.print(Text(f"{one.name} {metric.upper()}: {_why(found, one, metric)}"))


def as_json(found: list[Convention]) -> dict[str, Any]:
    """Return everything: each tool's metrics with the low and the high end, equal where they are exact, and why they differ."""
    return {one.name: {metric: _told(getattr(one, metric), _why(found, one, metric)) for metric in _METRICS} for one in found}


def _wide(found: list[Convention]) -> Table:
    """Return a row per tool."""
    table = Table(title=_TITLE, title_justify="left", title_style="bold")
    table.add_column("rules of")
    for metric in _METRICS:
        for quantile in _SHOWN:
            table.add_column(f"{metric.upper()} {quantile}", justify="right")
    for one in found:
        table.add_row(one.name, *(_cell(getattr(one, metric), quantile) for metric in _METRICS for quantile in _SHOWN))
    return table


def _tall(found: list[Convention]) -> Table:
    """Return a row per tool and metric, for consoles on which a row per tool would lose digits."""
    table = Table(title=_TITLE, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("rules of", no_wrap=True)
    table.add_column("")
    for quantile in _SHOWN:
        table.add_column(quantile, justify="right", no_wrap=True)
    for one in found:
        for metric in _METRICS:
            cells = (_cell(getattr(one, metric), quantile) for quantile in _SHOWN)
            table.add_row(one.name if metric == _METRICS[0] else "", metric.upper(), *cells)
    return table


def _why(found: list[Convention], one: Convention, metric: str) -> str:
    """Return why it differs from ours; where the run has no such value at all, that."""
    told: Told = getattr(one, metric)
    ours: Told = getattr(found[0], metric)
    return f"none: the run has no {metric.upper()}" if told.low is None and ours.low is None else told.why


def _told(told: Told, why: str) -> dict[str, Any]:
    low, high = (None if block is None else block.model_dump() for block in (told.low, told.high))
    return {"exact": told.exact and low is not None, "low_ms": low, "high_ms": high, "why": why}


def _cell(told: Told, quantile: str) -> str:
    if told.low is None or told.high is None:
        return _NOTHING
    low, high = (f"{getattr(block, quantile):.{_DIGITS}f}" for block in (told.low, told.high))
    return low if low == high else f"{low} to {high}"
