"""A comparison for people: one table a pair, what is significant marked, and a sentence that says what that means.

Shows a `Comparison`; computes nothing. Import it late: it brings in rich. Invariant: it says everything without colour.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastload.report.comparison_words import change, effect, interval, sentence, value, word
from fastload.report.words import count, plural, printable
from fastload.stats.comparison_result import Checked, Comparison, Pair

_STYLE: Final = {"better": "bold green", "worse": "bold red", "not significant": "dim", "equal": "dim", "not tested": "yellow"}


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
        told = word(row)
        table.add_row(
            row.metric,
            value(row, row.a),
            value(row, row.b),
            change(row),
            interval(row),
            "-" if row.p_corrected is None else f"{row.p_corrected:.3g}",
            effect(row.effect),
            Text(told, style=_STYLE[told]),
        )
    return table


def _answer(pair: Pair) -> list[Text]:
    return [Text(sentence(pair), style="yellow" if pair.untested is not None else "bold")]


def _check(check: Checked) -> Text:
    word, style = ("FAIL", "bold red") if check.failed else ("PASS", "bold green")
    return Text.assemble("RULE ", (f"{word:<5}", style), f"{check.rule}, {printable(check.pair)}: {check.reason}")
