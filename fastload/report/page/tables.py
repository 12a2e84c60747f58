"""The page's tables: gates, latencies, errors, endpoints, turns, steps of a search, workers, host.

Reads a `Summary`, computes nothing. Invariant: every text goes through `text`, so that what a server or a plan says is shown and
never obeyed; no data is `-`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from fastload.report.answer import gates
from fastload.report.words import count, ms, percent, printable, rate, size, us
from fastload.stats.metrics import METRICS
from fastload.stats.result import Endpoint, ErrorGroup, Latency, Quantiles, Summary
from fastload.stats.search_result import CurvePoint

TONES: Final = {
    "PASS": "good",
    "VALID": "good",
    "INFO": "info",
    "WARNING": "warn",
    "CRITICAL": "bad",
    "FAIL": "bad",
    "INVALID": "bad",
}
_COLUMNS: Final = ("count", "mean", "min", "p50", "p75", "p90", "p95", "p99", "p999", "max")
_BEYOND: Final = {"p90": Fraction(1, 10), "p95": Fraction(1, 20), "p99": Fraction(1, 100), "p999": Fraction(1, 1000)}
"""Share of the samples beyond a quantile; where that is less than one, the quantile is the maximum."""
_FEW_NOTE: Final = (
    '<p class="soft">In italics: a quantile of fewer samples than it takes (p99: 100), which is just the slowest of them.</p>'
)
_MAX_ROWS: Final = 200
"""More rows than anybody reads; the caption names the rest, which is in summary.json."""
_MAX_TEXT: Final = 2000


class Few(str):
    """A quantile of fewer samples than it takes: it is shown, but not as a fact."""

    __slots__ = ()


def text(value: object) -> str:
    """Return a value as text of the page: one line, escaped, cut where it is endless."""
    shown = printable(str(value))
    return html.escape(shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}…")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = (), long: int | None = None) -> str:
    """Return a table of plain texts; `numbers` are the columns set to the right, `long` the one that may wrap anywhere."""
    right = set(numbers)
    kinds = ["n" if index in right else "long" if index == long else "" for index in range(len(head))]
    body = list(rows)
    lines = ["".join(_cell("td", kind, cell) for kind, cell in zip(kinds, row, strict=True)) for row in body[:_MAX_ROWS]]
    heads = "".join(_cell("th", kind, name) for kind, name in zip(kinds, head, strict=True))
    rest = f'<p class="soft">and {len(body) - _MAX_ROWS:,} more rows, see summary.json</p>' if len(body) > _MAX_ROWS else ""
    if any(isinstance(cell, Few) for row in body[:_MAX_ROWS] for cell in row):
        rest += _FEW_NOTE
    filled = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{filled}</tbody></table></div>{rest}'


def _cell(tag: str, kind: str, shown: str) -> str:
    names = f"{kind} few" if isinstance(shown, Few) else kind
    looks = f' class="{names}"' if names else ""
    scope = ' scope="col"' if tag == "th" else ""
    return f"<{tag}{looks}{scope}>{text(shown)}</{tag}>"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and what they stand for."""
    lines = "".join(f'<tr><th scope="row">{text(name)}</th><td class="long">{text(value)}</td></tr>' for name, value in rows)
    return f'<div class="scroll"><table><tbody>{lines}</tbody></table></div>'


def gate_table(summary: Summary) -> str:
    """Return the SLOs and rules with how each came out."""
    rows = gates(summary)
    if not rows:
        return '<p class="soft">No SLO was given.</p>'
    hints = ["" if gate.hint == gate.word else gate.hint for gate in rows]
    lines = []
    for gate, hint in zip(rows, hints, strict=True):
        cells = [f'<td class="{TONES[gate.status]}">{gate.word}</td>', f"<td>{text(gate.name)}</td>"]
        cells += [f'<td class="n">{text(part)}</td>' for part in (gate.value, gate.limit, gate.samples)]
        cells += [f'<td class="long">{text(hint)}</td>'] if any(hints) else []
        lines.append(f"<tr>{''.join(cells)}</tr>")
    kinds = " or ".join(dict.fromkeys(gate.kind for gate in rows))
    names = [("", "result"), ("", kinds), ("n", "value"), ("n", "limit"), ("n", "samples")]
    names += [("long", "hint")] if any(hints) else []
    head = "".join(_cell("th", kind, name) for kind, name in names)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def latency_table(latency: Latency) -> str:
    """Return every latency that has data, and what each of them is."""
    rows, meanings = [], []
    for name, metric in METRICS.items():
        block: Quantiles | None = getattr(latency, name)
        if block is not None:
            rows.append([metric.label, count(block.count), *(_quantile(block, column) for column in _COLUMNS[1:])])
            meanings.append((metric.label, metric.definition))
    if not rows:
        return "<p>No latency: no completed request was sent inside the measured window.</p>"
    shown = table(["latency", *_COLUMNS], rows, range(1, len(_COLUMNS) + 1))
    return f"{shown}<details><summary>What these are</summary>{pairs(meanings)}</details>"


def _quantile(block: Quantiles, column: str) -> str:
    shown = ms(getattr(block, column))
    return Few(shown) if block.count * _BEYOND.get(column, 1) < 1 else shown


def error_table(errors: Sequence[ErrorGroup]) -> str:
    """Return the kinds of failures, the most frequent first, each with an example."""
    rows = [[count(group.count), group.kind, str(group.status or "-"), group.example or "-"] for group in errors]
    return table(["count", "kind", "HTTP", "example"], rows, (0, 2), long=3)


def endpoint_tables(endpoints: dict[str, Endpoint]) -> str:
    """Return the targets side by side."""
    rows = []
    for name, one in endpoints.items():
        ttft, itl, e2e = one.latency_ms.ttft, one.latency_ms.itl, one.latency_ms.e2e
        ended = one.requests.completed + one.requests.failed
        rows.append(
            [
                name,
                count(one.requests.completed),
                percent(one.requests.failed / ended if ended else None),
                rate(one.throughput.requests_per_s),
                rate(one.throughput.output_tokens_per_s),
                *(value for block in (ttft, itl, e2e) for value in _ends(block)),
            ]
        )
    head = ["endpoint", "completed", "failed", "requests/s", "tokens/s"]
    head += [f"{name} {quantile}" for name in ("TTFT", "ITL", "E2E") for quantile in ("p50", "p99")]
    return table(head, rows, range(1, len(head)))


def _ends(block: Quantiles | None) -> tuple[str, str]:
    return (ms(None), ms(None)) if block is None else (ms(block.p50), _quantile(block, "p99"))


def turn_table(summary: Summary) -> str:
    """Return the turns of conversations; empty where there are none."""
    if not summary.turns:
        return ""
    rows = []
    for turn in summary.turns:
        blocks = [_ends(turn.latency_ms.get(name)) for name in ("ttft", "tpot", "e2e")]
        tokens = "-" if turn.input_tokens_mean is None else f"{turn.input_tokens_mean:,.0f}"
        rows.append(
            [count(turn.turn), count(turn.requests), count(turn.completed), tokens, *(value for pair in blocks for value in pair)]
        )
    head = ["turn", "requests", "completed", "input tokens"]
    head += [f"{name} {quantile}" for name in ("TTFT", "TPOT", "E2E") for quantile in ("p50", "p99")]
    return f"<h3>Turns (the last row holds all further ones)</h3>{table(head, rows, range(len(head)))}"


def step_table(over: str, points: Sequence[CurvePoint]) -> str:
    """Return the steps of a search or ramp, by load."""
    rows = []
    for point in sorted(points, key=lambda point: point.load):
        word = "INVALID" if not point.valid else "met" if point.met else "failed"
        rates = (point.requests_per_s, point.output_tokens_per_s, point.goodput_per_s)
        slowest = ms(point.ttft_p99)
        slowest = Few(slowest) if point.ttft_p99 is not None and point.requests * _BEYOND["p99"] < 1 else slowest
        times = (ms(point.ttft_p50), slowest, ms(point.itl_p50), ms(point.itl_p99))
        cells = [f"{point.load:,.4g}", *map(rate, rates), *times, percent(point.error_ratio)]
        rows.append([*cells, f"{word}: {'; '.join(point.reasons)}" if point.reasons else word])
    head = [over, "requests/s", "tokens/s", "goodput/s", "TTFT p50", "TTFT p99", "ITL p50", "ITL p99", "errors", "result"]
    return table(head, rows, range(9), long=9)


def trust_table(summary: Summary) -> str:
    """Return what the generator added to the numbers, and how time was taken."""
    generator, clock = summary.generator, summary.clock
    late, lag, stall = generator.own_lateness_ms, clock.stamp_lag_us, generator.loop_stall_ms
    alive = sum(worker.died is None for worker in generator.workers)
    memory = generator.pss_bytes if generator.pss_bytes is not None else generator.rss_peak_bytes
    return pairs(
        [
            ("requests left late", f"p99 {ms(late.p99 if late else None)}, at most {ms(late.max if late else None)}"),
            ("event loops late", f"p99 {ms(stall.p99 if stall else None)}"),
            ("samples lost", count(generator.samples_lost)),
            ("receive stamps", f"{clock.receive} clock, read p99 {us(lag.p99 if lag else None)} after the stamp"),
            (
                "tokens that shared a read",
                f"{percent(clock.coalesced_ratio)}; through late reads {percent(clock.coalesced_late_ratio)}",
            ),
            ("workers alive at the end", f"{alive} of {len(generator.workers)}"),
            ("CPU time and memory", f"{generator.cpu_s:.2f} s, {size(memory)}"),
        ]
    )


def worker_table(summary: Summary) -> str:
    """Return one row for each worker process."""
    rows = []
    for one in summary.generator.workers:
        cells = [count(one.index), "-" if one.cpu is None else count(one.cpu), "yes" if one.realtime else "no", count(one.users)]
        cells += [count(one.started), count(one.samples_written), count(one.samples_lost)]
        cells += [ms(one.lateness_ms.p99 if one.lateness_ms else None), us(one.stamp_lag_us.p99 if one.stamp_lag_us else None)]
        rows.append([*cells, f"{one.cpu_s:.2f} s", size(one.rss_peak_bytes), one.died or ""])
    head = [
        "worker",
        "CPU",
        "real-time",
        "users",
        "started",
        "samples",
        "lost",
        "late p99",
        "stamp lag p99",
        "CPU time",
        "memory",
        "died",
    ]
    return table(head, rows, (0, 1, 3, 4, 5, 6, 7, 8, 9, 10))
