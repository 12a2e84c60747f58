"""The page of a comparison: what differs beyond chance, pair by pair, as a sentence, a plot of the intervals, and a table.

Shows a `Comparison`; computes nothing. Import it late: it brings in plotly. Invariant: what the terminal says is on the page, in
the same words; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from fastload.report.comparison_words import change, effect, interval, sentence, value, word
from fastload.report.page.page import figures, page_of, write_page
from fastload.report.page.plots import GREY, PALETTE, Plot, Trace, axis, label, library
from fastload.report.page.tables import pairs, table, text
from fastload.report.words import count, plural
from fastload.stats.comparison_result import Comparison, Difference, Pair

_COLORS: Final = {"worse": PALETTE[6], "better": PALETTE[2], "not significant": GREY, "equal": GREY, "not tested": PALETTE[4]}
_SYMBOLS: Final = {"worse": "triangle-right", "better": "triangle-left", "not tested": "x-thin-open"}
"""What is significant can be told without colour."""
_NUMBERS: Final = (1, 2, 3, 4, 5)
_ROW_PX, _FRAME_PX = 24, 150


def comparison_page(comparison: Comparison) -> str:
    """Return the page.

    Raises:
        FastloadError: the plotting library is missing.
    """
    script = library()
    return page_of(_title(comparison), _sections(comparison), script)


def write_comparison_page(comparison: Comparison, path: Path) -> None:
    """Write the page to `path`, all or nothing.

    Raises:
        FastloadError: as `comparison_page`, or the file cannot be written.
    """
    write_page(comparison_page(comparison), path)


def _title(comparison: Comparison) -> str:
    first, *others = (side.name for side in comparison.sides)
    return f"{', '.join(others)} against {first}"


def _sections(comparison: Comparison) -> Iterable[str]:
    yield f"<h1>{text(_title(comparison))}</h1>"
    yield _verdict(comparison)
    for number, pair in enumerate(comparison.pairs):
        heading = f"<h2>{text(f'{pair.b} against {pair.a}')}</h2>" if len(comparison.pairs) > 1 else ""
        yield f'{heading}<p class="answer">{text(sentence(pair))}</p><p class="soft">{text(_how(pair))}</p>'
        yield figures(list(_plots(pair, number)))
        yield _table(pair)
    yield f"<h2>Results</h2>{pairs((side.name, _side(side.runs, valid=side.valid)) for side in comparison.sides)}"
    level = f"{comparison.alpha:.0%}"
    yield (
        f'<p class="soft">Significant is p below {level} after the correction (Holm) for the number of rows tested. An interval '
        "holds the true difference in 95 of 100 comparisons. The effect is the delta of Cliff, from -1 to 1.</p>"
    )


def _verdict(comparison: Comparison) -> str:
    warnings = "".join(f"<li>warning: {text(reason)}</li>" for reason in comparison.forced)
    rules = "".join(
        f"<li>RULE {'FAIL' if check.failed else 'PASS'} {text(check.rule)}, {text(check.pair)}: {text(check.reason)}</li>"
        for check in comparison.checks
    )
    if not warnings and not rules:
        return ""
    failed = any(check.failed for check in comparison.checks)
    tone = "bad" if failed else "warn" if warnings else "good"
    verdict = ("FAIL" if failed else "PASS") if rules else "WARNING"
    words = f'<p><span class="word">{verdict}</span></p><ul>{warnings}{rules}</ul>'
    return f'<section class="verdict {tone}" aria-label="Verdict">{words}</section>'


def _how(pair: Pair) -> str:
    parts = [plural(pair.iterations, "iteration")] if pair.iterations > 1 else []
    if pair.block_s is not None:
        how = "paired" if pair.paired else "and"
        parts.append(f"{count(pair.blocks_a)} {how} {count(pair.blocks_b)} time blocks of {pair.block_s:.3g} s")
    return ", ".join(parts)


def _side(runs: Sequence[str], *, valid: bool) -> str:
    return f"{plural(len(runs), 'run')} ({', '.join(runs)}){'' if valid else ', INVALID'}"


def _table(pair: Pair) -> str:
    rows = [
        (
            row.metric,
            value(row, row.a),
            value(row, row.b),
            change(row),
            interval(row),
            "-" if row.p_corrected is None else f"{row.p_corrected:.3g}",
            effect(row.effect),
            word(row),
        )
        for row in pair.differences
    ]
    return table(("metric", pair.a, pair.b, "change", "95 % interval", "p", "effect", "result"), rows, _NUMBERS)


def _plots(pair: Pair, number: int) -> Iterable[Plot]:
    drawn = [row for row in pair.differences if row.relative is not None]
    if not drawn:
        return
    rows = [row.metric for row in drawn]
    left = ", ".join(row.metric for row in pair.differences if row.relative is None)
    words = [name for name in _COLORS if any(word(row) == name for row in drawn)]
    yield Plot(
        f"change-{number}",
        "What changed",
        f"Change of {pair.b} against {pair.a} in per cent, with its 95 % interval: how large it is. Whether it is chance tells "
        "the test (p in the table), which can find a change too small for the interval, and is stricter on many rows. "
        f"More is worse of a latency and better of a rate.{f' Not drawn: {left}.' if left else ''}",
        [_trace(name, [row for row in drawn if word(row) == name]) for name in words],
        {
            "height": _FRAME_PX + _ROW_PX * len(rows),
            "xaxis": axis("change", ticksuffix=" %", zeroline=True, zerolinecolor=GREY, zerolinewidth=2),
            "yaxis": axis("", type="category", categoryorder="array", categoryarray=rows[::-1]),
        },
        rescalable=False,
    )


def _trace(name: str, rows: Sequence[Difference]) -> Trace:
    at = [(row.relative or 0.0) * 100 for row in rows]
    ends = [row.relative_interval or (row.relative or 0.0,) * 2 for row in rows]
    above = [max(high * 100 - middle, 0.0) for middle, (_, high) in zip(at, ends, strict=True)]
    below = [max(middle - low * 100, 0.0) for middle, (low, _) in zip(at, ends, strict=True)]
    color = _COLORS[name]
    shape: dict[str, Any] = {"symbol": _SYMBOLS.get(name, "circle"), "line": {"color": color, "width": 1}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": at,
        "y": [label(row.metric) for row in rows],
        "name": name,
        "error_x": {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": color, "thickness": 1.5},
        "marker": {"color": color, "size": 10, **shape},
        "customdata": [f"{value(row, row.a)} to {value(row, row.b)}, {interval(row)}" for row in rows],
        "hovertemplate": "%{y}: %{x:+.2f} %<br>%{customdata}<extra>%{fullData.name}</extra>",
    }
