"""A comparison for people: one table a pair, what is significant marked, and a sentence that says what that means.

Shows a `Comparison`; computes nothing. Import it late: it brings in rich. Invariant: it says everything without colour.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastload.report.words import count, ms, percent, plural, printable, rate
from fastload.stats.comparison_result import Checked, Comparison, Difference, Pair

_STYLE: Final = {"better": "bold green", "worse": "bold red", "not significant": "dim", "equal": "dim", "not tested": "yellow"}
_EFFECTS: Final = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))
"""Bounds of |Cliff's delta| by Romano et al. (2006)."""


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison."""
    parts: list[RenderableType] = [Text(f"warning: {printable(reason)}", style="bold yellow") for reason in comparison.forced]
    for pair in comparison.pairs:
        parts += [_title(pair), _table(pair), *_answer(pair), Text()]
    parts += [_check(check) for check in comparison.checks]
    console.print(Group(*parts))


def _title(pair: Pair) -> Text:
    title = Text.assemble((f"{printable(pair.b)} against {printable(pair.a)}", "bold"))
    if pair.iterations > 1:
        title.append(f", {plural(pair.iterations, 'iteration')}")
    if pair.block_s is not None:
        how = "paired" if pair.paired else "and"
        title.append(f"  ({count(pair.blocks_a)} {how} {count(pair.blocks_b)} time blocks of {pair.block_s:.3g} s)", style="dim")
    return title


def _table(pair: Pair) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("metric", no_wrap=True)
    for column in (printable(pair.a), printable(pair.b), "change", "95 % interval", "p", "effect"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for row in pair.differences:
        word = _word(row)
        table.add_row(
            row.metric,
            _value(row, row.a),
            _value(row, row.b),
            _change(row),
            _interval(row),
            "-" if row.p_corrected is None else f"{row.p_corrected:.3g}",
            _effect(row.effect),
            Text(word, style=_STYLE[word]),
        )
    return table


def _answer(pair: Pair) -> list[Text]:
    if pair.untested is not None:
        return [Text(f"Nothing was tested for significance: {pair.untested}.", style="yellow")]
    worse = [row.metric for row in pair.differences if row.significant and row.direction == "worse"]
    better = [row.metric for row in pair.differences if row.significant and row.direction == "better"]
    name = printable(pair.b)
    if not worse and not better:
        return [Text(f"No difference of {name} is beyond what chance makes.", style="bold")]
    parts = [f"{word} in {', '.join(rows)}" for word, rows in (("worse", worse), ("better", better)) if rows]
    return [Text(f"{name} is {' and '.join(parts)}.", style="bold")]


def _check(check: Checked) -> Text:
    word, style = ("FAIL", "bold red") if check.failed else ("PASS", "bold green")
    return Text.assemble("RULE ", (f"{word:<5}", style), f"{check.rule}, {printable(check.pair)}: {check.reason}")


def _word(row: Difference) -> str:
    if row.direction == "equal":
        return "equal"
    if row.significant is None or row.direction is None:
        return "not tested"
    return row.direction if row.significant else "not significant"


def _value(row: Difference, value: float | None) -> str:
    if row.unit == "ms":
        return ms(value)
    return rate(value) if row.unit == "per_s" else percent(value)


def _change(row: Difference) -> str:
    if row.difference is None:
        return "-"
    if row.unit == "ratio":
        return f"{row.difference * 100:+.2g} points"
    return f"{row.relative:+.2%}" if row.relative is not None else _value(row, row.difference)


def _interval(row: Difference) -> str:
    ends = row.interval if row.unit == "ratio" else row.relative_interval
    if ends is None:
        return "-"
    low, high = (end * 100 for end in ends)
    return f"{low:+.2g} to {high:+.2g} points" if row.unit == "ratio" else f"{low:+.1f} to {high:+.1f} %"


def _effect(delta: float | None) -> str:
    if delta is None:
        return "-"
    word = next((word for bound, word in _EFFECTS if abs(delta) < bound), "large")
    return f"{delta:+.2f} {word}"
