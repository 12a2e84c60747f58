"""A comparison for people: one table a pair, what is significant marked, and a sentence that says what that means.

Shows a `Comparison`; computes nothing. Import it late: it brings in rich. Invariant: it says everything without colour.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastload.report.comparison_words import change, effect, interval, sentence, value, word
from fastload.report.fitting import Fitting
from fastload.report.words import count, plural, printable
from fastload.stats.comparison_result import Checked, Comparison, Pair

_STYLE: Final = {"better": "bold green", "worse": "bold red", "not significant": "dim", "equal": "dim", "not tested": "yellow"}
_SPARED: Final = ("effect", "p", "interval", "a", "b")
"""Columns a narrow terminal goes without, in this order: the change and the word stay, and all of them are in the JSON."""
_LONGEST_NAME: Final = 20


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison."""
    parts: list[RenderableType] = [Text(f"warning: {printable(reason)}", style="bold yellow") for reason in comparison.forced]
    for pair in comparison.pairs:
        parts += [_title(pair), Fitting([_table(pair, count) for count in range(len(_SPARED) + 1)]), *_answer(pair), Text()]
    parts += [_check(check) for check in comparison.checks]
    console.print(Group(*parts))


def _title(pair: Pair) -> Text:
    marked = [f"{printable(name)} ({short})" if short != printable(name) else short for name, short in _sides(pair)]
    title = Text.assemble((f"{marked[1]} against {marked[0]}", "bold"))
    if pair.iterations > 1:
        title.append(f", {plural(pair.iterations, 'iteration')}")
    if pair.block_s is not None:
        how = "paired" if pair.paired else "and"
        title.append(f"  ({count(pair.blocks_a)} {how} {count(pair.blocks_b)} time blocks of {pair.block_s:.3g} s)", style="dim")
    return title


def _sides(pair: Pair) -> list[tuple[str, str]]:
    """Return each side's name and what its column is called: the name, or a letter where names are long."""
    names = [printable(pair.a), printable(pair.b)]
    return list(zip(names, names if max(map(len, names)) <= _LONGEST_NAME else ("A", "B"), strict=True))


def _table(pair: Pair, left_out: int) -> Table:
    """Return the table without that many of the columns that can be spared."""
    (_, a), (_, b) = _sides(pair)
    spared = _SPARED[:left_out]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("metric", no_wrap=True)
    kept = [key for key in ("a", "b", "change", "interval", "p", "effect") if key not in spared]
    for key in kept:
        table.add_column({"a": a, "b": b, "interval": "95 % interval"}.get(key, key), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in pair.differences:
        told = word(row)
        cells = {
            "a": value(row, row.a),
            "b": value(row, row.b),
            "change": change(row),
            "interval": interval(row),
            "p": "-" if row.p_corrected is None else f"{row.p_corrected:.3g}",
            "effect": effect(row.effect),
        }
        table.add_row(row.metric, *(cells[key] for key in kept), Text(told, style=_STYLE[told]))
    return table


def _answer(pair: Pair) -> list[Text]:
    return [Text(sentence(pair), style="yellow" if pair.untested is not None else "bold")]


def _check(check: Checked) -> Text:
    word, style = ("FAIL", "bold red") if check.failed else ("PASS", "bold green")
    return Text.assemble("RULE ", (f"{word:<5}", style), f"{check.rule}, {printable(check.pair)}: {check.reason}")
