"""The demo's last table: what fastload measured beside what the mock server says by its own clock.

Both times of a pair are of the same events, the server's up to the send and fastload's from the kernel's receive stamp, so the
difference is the loopback plus both clocks' errors. Invariant: a number that one side does not have is shown as missing, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastload.stats.result import Quantiles, Summary

TOLERANCE_RATIO: Final = 0.02
TOLERANCE_MS: Final = 0.2
"""Times agree within 2 % or 0.2 ms, the larger: what an idle box must reach."""
_MISSING: Final = "-"


def print_comparison(summary: Summary, truth: Mapping[str, Any], console: Console) -> None:
    """Print counts and times of both sides, and whether they agree."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("both sides", no_wrap=True)
    for column in ("fastload", "mock's truth", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for name, ours, theirs in _counts(summary, truth):
        difference = f"{ours - theirs:+,}" if ours is not None and theirs is not None else _MISSING
        table.add_row(name, _count(ours), _count(theirs), difference, _word(ours is not None and ours == theirs))
    apart = False
    for label, ours_ms, theirs_ms in _times(summary, truth):
        if ours_ms is None or theirs_ms is None:
            table.add_row(label, _ms(ours_ms), _ms(theirs_ms), _MISSING, "")
            continue
        agrees = abs(ours_ms - theirs_ms) <= max(TOLERANCE_MS, TOLERANCE_RATIO * theirs_ms)
        apart = apart or (label.startswith("TTFT") and not agrees)
        table.add_row(label, _ms(ours_ms), _ms(theirs_ms), f"{(ours_ms - theirs_ms) * 1000:+.1f} µs", _word(agrees))
    console.print()
    console.print(table)
    for note in _notes(summary, ttft_apart=apart):
        console.print(Text(note, style="dim"))


def _counts(summary: Summary, truth: Mapping[str, Any]) -> list[tuple[str, int | None, int | None]]:
    requests = summary.requests
    return [
        ("requests", requests.started, _integer(truth, "requests")),
        ("completed", requests.completed, _integer(truth, "completed")),
        ("token events", summary.tokens.events, _integer(truth, "tokens")),
        ("output tokens", summary.tokens.output, _integer(truth, "output_tokens")),
    ]


def _times(summary: Summary, truth: Mapping[str, Any]) -> list[tuple[str, float | None, float | None]]:
    rows: list[tuple[str, float | None, float | None]] = []
    for name, key in (("ttft", "ttft_ms"), ("itl", "itl_ms")):
        ours: Quantiles | None = getattr(summary.latency_ms, name)
        theirs = truth.get(key)
        for quantile in ("p50", "p99"):
            measured = None if ours is None else float(getattr(ours, quantile))
            told = theirs.get(quantile) if isinstance(theirs, Mapping) else None
            rows.append((f"{name.upper()} {quantile}", measured, None if told is None else float(told)))
    return rows


def _notes(summary: Summary, *, ttft_apart: bool) -> list[str]:
    notes = []
    if ttft_apart:
        notes.append("TTFT: the mock's begins when the kernel has the request, fastload's just before the request is handed to it;")
        notes.append("a new connection's request can wait for the mock to accept it")
    load = summary.run.plan.get("load", {})
    if load.get("warmup_s"):
        notes.append("the mock's times include the warm-up, fastload's do not")
    if summary.requests.failed or summary.requests.cancelled:
        notes.append("the mock counts requests that failed or were cancelled differently: it may have sent what nobody waited for")
    return notes


def _integer(truth: Mapping[str, Any], key: str) -> int | None:
    value = truth.get(key)
    return value if isinstance(value, int) else None


def _count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"


def _ms(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3f} ms"


def _word(agrees: bool) -> Text:
    return Text("agrees", style="green") if agrees else Text("differs", style="bold red")
