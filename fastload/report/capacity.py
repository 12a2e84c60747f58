"""The capacity curve for people: load against throughput and latency, as a table and as a plot of characters.

Shows what it is given, in the order of the load; computes nothing but where a dot goes. Import it late: it brings in rich.

Invariant: a step whose run was INVALID is marked in the table and absent from the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastload.report.words import ms, percent, plural, printable, rate
from fastload.stats.search_result import CurvePoint, SearchResult, StressResult

_STYLE: Final = {"met": "green", "failed": "red", "INVALID": "bold red"}
_WIDTH: Final = 60
_HEIGHT: Final = 9
_MAX_REASON: Final = 120


def load_words(over: str, load: float | None) -> str:
    """Return a load as people say it: `48 users`, `12.5 requests/s`."""
    if load is None:
        return "-"
    return plural(round(load), "user") if over == "users" else f"{load:,.4g} requests/s"


def step_line(over: str, number: int, point: CurvePoint) -> Text:
    """Return the line that tells of a step when it has ended."""
    word = _word(point)
    line = Text.assemble(f"step {number:>2}  {point.phase:<8}{load_words(over, point.load):>16}  ", (f"{word:<8}", _STYLE[word]))
    line.append(f"TTFT p99 {ms(point.ttft_p99)}, {rate(point.output_tokens_per_s)} output tokens/s")
    if point.reasons:
        line.append(f"  {_short(point.reasons[0])}", style="dim")
    return line


def print_search(result: SearchResult, console: Console) -> None:
    """Print curve, plot and answer of a search."""
    console.print(Group(curve(result.over, result.curve), Text(), search_answer(result)))


def print_stress(result: StressResult, console: Console) -> None:
    """Print curve, plot and answer of a ramp."""
    console.print(Group(curve(result.over, result.curve), Text(), stress_answer(result)))


def curve(over: str, points: Sequence[CurvePoint]) -> RenderableType:
    """Return table and plots of the steps, by load."""
    ordered = sorted(points, key=lambda point: point.load)
    parts: list[RenderableType] = [_table(over, ordered)]
    drawings: tuple[tuple[str, Callable[[CurvePoint], float | None]], ...] = (
        ("output tokens/s", lambda point: point.output_tokens_per_s),
        ("TTFT p99, ms", lambda point: point.ttft_p99),
    )
    for title, value in drawings:
        drawn = plot([(point.load, value(point), bool(point.met)) for point in ordered if point.valid])
        if drawn:
            parts += [Text(), Text(f"{title} against {'users' if over == 'users' else 'requests/s'}", style="bold"), drawn]
    return Group(*parts)


def search_answer(result: SearchResult) -> Text:
    """Return the finding in a sentence or two."""
    slo = ", ".join(result.slo)
    if result.best is None:
        if result.limited_by == "generator":
            return Text(
                "No step was valid: the generator, not the server, was the limit. Nothing is known of the server.", "bold red"
            )
        return Text(f"No load meets {slo}: the lowest one tried, {load_words(result.over, result.above)}, fails.", style="bold red")
    best = load_words(result.over, float(result.best.users if result.best.users is not None else result.best.rate or 0))
    checked = "" if result.confirmed else " (not confirmed)"
    if result.limited_by == "server":
        above = load_words(result.over, result.above)
        return Text(f"The highest load that meets {slo} is {best}{checked}; the server fails at {above}.", style="bold green")
    if result.limited_by == "top":
        return Text(
            f"The server meets {slo} at {best}{checked}, the highest load asked for; its limit lies above.", style="bold green"
        )
    return Text(
        f"The server meets {slo} at {best}{checked}. Above that the generator, not the server, was the limit: "
        "this is a lower bound, not the server's capacity.",
        style="bold yellow",
    )


def plot(points: Sequence[tuple[float, float | None, bool]]) -> Text | None:
    """Return dots over two linear axes: `o` met, `x` failed; None with fewer than two places on the load axis."""
    known = [(load, value, met) for load, value, met in points if value is not None and math.isfinite(value)]
    if len({load for load, _, _ in known}) < 2:
        return None
    left, right = min(load for load, _, _ in known), max(load for load, _, _ in known)
    top = max(value for _, value, _ in known) or 1.0
    rows = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for load, value, met in known:
        column = round((load - left) / (right - left) * (_WIDTH - 1))
        row = _HEIGHT - 1 - round(value / top * (_HEIGHT - 1))
        rows[row][column] = "o" if met else "x"
    labels = {0: rate(top), _HEIGHT - 1: "0"}
    margin = max(len(label) for label in labels.values())
    lines = [f"{labels.get(index, ''):>{margin}} |{''.join(row).rstrip()}" for index, row in enumerate(rows)]
    ends = f"{left:,.4g}{f'{right:,.4g}':>{_WIDTH - len(f'{left:,.4g}')}}"
    lines += [f"{'':>{margin}} +{'-' * _WIDTH}", f"{'':>{margin}}  {ends}"]
    return Text("\n".join(lines))


def _table(over: str, points: Sequence[CurvePoint]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(over, justify="right", no_wrap=True)
    for column in ("requests/s", "tokens/s", "goodput/s", "TTFT p50", "TTFT p99", "ITL p50", "ITL p99", "errors"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for point in points:
        word = _word(point)
        numbers = [
            f"{point.load:,.4g}" if over == "rate" else f"{round(point.load):,}",
            *(rate(value) for value in (point.requests_per_s, point.output_tokens_per_s, point.goodput_per_s)),
            *(ms(value) for value in (point.ttft_p50, point.ttft_p99, point.itl_p50, point.itl_p99)),
            percent(point.error_ratio),
        ]
        note = word if not point.reasons else f"{word}: {_short(point.reasons[0])}"
        table.add_row(*numbers, Text(note, style=_STYLE[word]))
    return table


def stress_answer(result: StressResult) -> Text:
    """Return the finding of a ramp in two sentences."""
    parts = []
    if result.optimal is not None:
        parts.append(f"Optimal: {load_words(result.over, result.optimal)}, the lowest load within 2 % of the highest throughput.")
    else:
        parts.append("No level was within the rules.")
    if result.breaking is not None:
        parts.append(f"Breaking: {load_words(result.over, result.breaking)}: {printable(result.reason)}.")
    else:
        parts.append(f"Not broken: {printable(result.reason)}.")
    return Text(" ".join(parts), style="bold yellow" if result.stopped_by == "generator" else "bold")


def _word(point: CurvePoint) -> str:
    if not point.valid:
        return "INVALID"
    return "met" if point.met else "failed"


def _short(reason: str) -> str:
    text = printable(reason)
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
