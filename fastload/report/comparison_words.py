"""What the terminal and the page say of a comparison, cell by cell: the same words in both.

Computes nothing. Invariant: no data is `-`; what was not tested is never called equal or insignificant.
"""

from __future__ import annotations

from typing import Final

from fastload.report.words import ms, percent, printable, rate
from fastload.stats.comparison_result import Difference, Pair

_EFFECTS: Final = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))
"""Bounds of |Cliff's delta| by Romano et al. (2006)."""


def sentence(pair: Pair) -> str:
    """Return what the pair comes to, in a sentence."""
    if pair.untested is not None:
        return f"Nothing was tested for significance: {pair.untested}."
    if any(row.metric.startswith("itl.") and word(row) == "not tested" and row.difference is not None for row in pair.differences):
        return f"{_told(pair)} ITL was not tested: that takes 6 whole measured seconds a side, of runs of their own."
    return _told(pair)


def _told(pair: Pair) -> str:
    worse = [row.metric for row in pair.differences if row.significant and row.direction == "worse"]
    better = [row.metric for row in pair.differences if row.significant and row.direction == "better"]
    name = printable(pair.b)
    if not worse and not better:
        return f"No difference of {name} is beyond what chance makes."
    parts = [f"{how} in {', '.join(rows)}" for how, rows in (("worse", worse), ("better", better)) if rows]
    return f"{name} is {' and '.join(parts)}."


def word(row: Difference) -> str:
    """Return whether the change is better or worse beyond chance."""
    if row.direction == "equal":
        return "equal"
    if row.significant is None or row.direction is None:
        return "not tested"
    return row.direction if row.significant else "not significant"


def value(row: Difference, value: float | None) -> str:
    """Return a value in the row's unit."""
    if row.unit == "ms":
        return ms(value)
    return rate(value) if row.unit == "per_s" else percent(value)


def change(row: Difference) -> str:
    """Return the change in per cent, of a share in points."""
    if row.difference is None:
        return "-"
    if row.unit == "ratio":
        return f"{_signed(row.difference * 100)} points"
    return f"{row.relative:+.2%}" if row.relative is not None else value(row, row.difference)


def interval(row: Difference) -> str:
    """Return the interval of the change."""
    ends = row.interval if row.unit == "ratio" else row.relative_interval
    if ends is None:
        return "-"
    low, high = (end * 100 for end in ends)
    return f"{_signed(low)} to {_signed(high)} points" if row.unit == "ratio" else f"{low:+.1f} to {high:+.1f} %"


def _signed(value: float) -> str:
    """Return two significant digits with a sign, never an exponent: +100, -5, +0.048."""
    text = f"{float(f'{value:.2g}'):+f}"
    return text.rstrip("0").rstrip(".")


def effect(delta: float | None) -> str:
    """Return Cliff's delta with what it is usually called."""
    if delta is None:
        return "-"
    word = next((word for bound, word in _EFFECTS if abs(delta) < bound), "large")
    return f"{delta:+.2f} {word}"
