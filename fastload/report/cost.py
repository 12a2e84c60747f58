"""The cost of a run in words: the lines of the report below throughput.

Computes nothing. Invariant: what could not be computed is said to be unknown or left out, never shown as 0.
"""

from __future__ import annotations

import math

from fastload.report.words import TOKEN_SOURCES, printable
from fastload.stats.cost import Cost


def cost_lines(cost: Cost | None) -> list[str]:
    """Return the report's lines on cost, none without a price."""
    if cost is None:
        return []
    unit = printable(cost.currency)
    source = "" if cost.tokens == "usage" else f" ({TOKEN_SOURCES[cost.tokens]})"
    if cost.per_million_output is None and cost.per_million_tokens is not None:
        lead = [f"{_money(cost.per_million_tokens)} {unit} per 1M input tokens{source}"]
    else:
        lead = [f"{_money(cost.per_million_output)} {unit} per 1M output tokens{source}"]
    if cost.per_million_output is not None and cost.per_million_tokens is not None:
        lead.append(f"{_money(cost.per_million_tokens)} per 1M tokens in and out")
    if cost.per_request is not None:
        lead.append(f"{_money(cost.per_request)} per request")
    lines = [f"Cost {', '.join(lead)}; the run {_money(cost.total)}"]
    good = []
    if cost.per_million_good_output is not None:
        good.append(f"{_money(cost.per_million_good_output)} {unit} per 1M good output tokens")
    if cost.per_good_request is not None:
        good.append(f"{_money(cost.per_good_request)} {unit} per good request")
    if good:
        lines.append(f"     {', '.join(good)} (those that met every SLO)")
    return lines


def _money(value: float | None) -> str:
    """Return an amount with two decimals, or as many as three significant digits need: 12.40, 0.352, 0.00123."""
    if value is None:
        return "unknown"
    if value == 0 or abs(value) >= 1:
        return f"{value:,.2f}"
    return f"{value:.{2 - math.floor(math.log10(abs(value)))}f}"
