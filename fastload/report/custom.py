"""Metrics of other packages in words: their lines of the report, below throughput.

Computes nothing. Invariant: what has no data says so, with the reason where there is one.
"""

from __future__ import annotations

from typing import Final

from fastload.report.words import count, printable
from fastload.stats.result import CustomMetric, Summary

_STATS: Final = ("mean", "p50", "p90", "p99", "max")


def custom_lines(summary: Summary) -> list[str]:
    """Return a line for each metric of another package; none where none was asked for."""
    return [_line(name, metric) for name, metric in (summary.metrics or {}).items()]


def _line(name: str, metric: CustomMetric) -> str:
    lead = f"{name} ({printable(metric.unit)})" if metric.unit else name
    block = metric.quantiles
    if block is None:
        return f"{lead}: no data" + (f" - {printable(metric.error)}" if metric.error else "")
    return f"{lead}: {', '.join(f'{stat} {getattr(block, stat):.4g}' for stat in _STATS)} of {count(block.count)} requests"
