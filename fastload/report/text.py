"""The console report: what a person reads when a run has ended.

From top to bottom it answers: what was run, how slow was it, how much came through, what went wrong, were the gates met, can
the numbers be trusted. Reads a `Summary` and nothing else; computes nothing. Import it late: it brings in rich.

Invariant: it fits 60 columns, says everything without colour, and never lets a server's text reach the terminal unfiltered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastload.report.answer import NOT_JUDGED, answer, gate_words, load, output_tokens, remarks
from fastload.report.cost import cost_lines
from fastload.report.custom import custom_lines
from fastload.report.fitting import Fitting
from fastload.report.observed import network_lines
from fastload.report.plan_words import model_of
from fastload.report.words import count, ms, percent, plural, printable, rate, size, us
from fastload.stats.metrics import METRICS
from fastload.stats.result import CheckResult, ErrorGroup, Quantiles, Summary

_STYLE: Final = {
    "PASS": "bold green",
    "VALID": "bold green",
    "INFO": "bold cyan",
    "WARNING": "bold yellow",
    "CRITICAL": "bold red",
    "FAIL": "bold red",
    "INVALID": "bold red",
}
_COLUMNS: Final = ("mean", "p50", "p90", "p99", "max")
_MAX_ERRORS: Final = 8
"""A report shows the most frequent errors; all of them are in the JSON."""
_MAX_EXAMPLE: Final = 160


def print_summary(summary: Summary, console: Console) -> None:
    """Print the report to `console`."""
    console.print(render_summary(summary))


def render_summary(summary: Summary) -> RenderableType:
    """Return the report as one rich renderable."""
    parts: list[RenderableType] = [_header(summary), Text(), _latency(summary), Text(), _throughput(summary)]
    if summary.errors:
        parts += [Text(), *_errors(summary.errors)]
    parts += [Text(), *_verdict(summary), Text(), _answer(summary)]
    return Group(*parts)


def _header(summary: Summary) -> RenderableType:
    run, requests = summary.run, summary.requests
    target = ", ".join(str(target.get("url", "")) for target in run.plan.get("targets", []))
    title = Text(f"fastload {run.version}  ", style="bold")
    title.append(printable(target), style="bold cyan")
    model = model_of(run.plan)
    if model is not None:
        title.append(f"  {printable(model)}")
    drain = max(run.total_s - run.load_s, 0.0)
    made = load(summary)
    parts = [] if made is None else [made]
    outside = "warm-up" if run.steady is None else "not steady"
    parts += [
        f"{run.duration_s:.1f} s measured",
        f"{max(run.load_s - run.duration_s, 0.0):.1f} s {outside}",
        f"{drain:.1f} s drain",
    ]
    ledger = Text(f"{plural(requests.started, 'request')}: {count(requests.completed)} completed, ")
    ledger.append(f"{count(requests.failed)} failed", style="bold red" if requests.failed else "")
    ledger.append(f", {count(requests.cancelled)} cancelled")
    notes = [Text(note, style="yellow") for note in remarks(summary)]
    return Group(title, *_merged(summary), Text(", ".join(parts)), ledger, *notes)


def _merged(summary: Summary) -> list[RenderableType]:
    return [
        Text(
            f"merged: {printable(part.id)} from {printable(part.host.hostname)}, {printable(part.started_at[:19])} UTC", style="dim"
        )
        for part in summary.run.merged or []
    ]


def _latency(summary: Summary) -> RenderableType:
    blocks: dict[str, Quantiles] = {name: block for name in METRICS if (block := getattr(summary.latency_ms, name)) is not None}
    if not blocks:
        return Text("no latency: no completed request was sent inside the measured window", style="yellow")
    return Fitting([_quantiles(blocks, columns) for columns in (_COLUMNS, _COLUMNS[1:], ("p50", "p99", "max"), ("p50", "p99"))])


def _quantiles(blocks: Mapping[str, Quantiles], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True, header_style="dim")
    table.add_column("latency", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, block in blocks.items():
        table.add_row(METRICS[name].label, *(ms(getattr(block, column)) for column in columns))
    return table


def _throughput(summary: Summary) -> RenderableType:
    through = summary.throughput
    parts = [f"{rate(through.requests_per_s)} requests/s", f"{rate(through.output_tokens_per_s)} output tokens/s"]
    if through.input_tokens_per_s is not None:
        parts.append(f"{rate(through.input_tokens_per_s)} input tokens/s")
    if through.goodput_per_s is not None:
        parts.append(f"goodput {rate(through.goodput_per_s)} requests/s")
    ledger = f"{output_tokens(summary)}, {count(summary.tokens.input)} input"
    return Group(
        Text(", ".join(parts), style="bold"), Text(ledger), *map(Text, cost_lines(summary.cost)), *map(Text, custom_lines(summary))
    )


def _errors(errors: list[ErrorGroup]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for group in errors[:_MAX_ERRORS]:
        line = Text(f"{count(group.count)} x {group.kind}", style="red")
        if group.status is not None:
            line.append(f" (HTTP {group.status})")
        if group.example:
            text = printable(group.example)
            line.append(f": {text[:_MAX_EXAMPLE]}{'…' if len(text) > _MAX_EXAMPLE else ''}", style="default")
        lines.append(line)
    if len(errors) > _MAX_ERRORS:
        lines.append(Text(f"and {len(errors) - _MAX_ERRORS} more kinds, see the JSON", style="dim"))
    return lines


def _verdict(summary: Summary) -> list[RenderableType]:
    lines: list[RenderableType] = [_check(check) for check in summary.verdict.checks]
    if not lines:
        lines.append(Text("SLO  none given", style="dim"))
    generator, clock = summary.generator, summary.clock
    word = "VALID" if generator.valid else "INVALID"
    alive = sum(worker.died is None for worker in generator.workers)
    late = generator.own_lateness_ms
    lag = clock.stamp_lag_us
    facts = [
        f"lateness p99 {ms(None if late is None else late.p99)}",
        f"lost {count(generator.samples_lost)}",
        f"stamp lag p99 {us(None if lag is None else lag.p99)}",
        f"coalesced {percent(clock.coalesced_ratio)}",
        f"{clock.receive} clock",
        f"workers {alive}/{len(generator.workers)}",
        f"memory {size(generator.pss_bytes if generator.pss_bytes is not None else generator.rss_peak_bytes)}",
    ]
    lines.append(Text.assemble("RUN  ", (f"{word:<8}", _STYLE[word]), ", ".join(facts)))
    lines += [Text(f"     - {printable(reason)}", style="red") for reason in generator.reasons]
    lines += [Text(f"HINT {printable(hint)}", style="yellow") for hint in summary.hints]
    lines += [Text(f"     {printable(line)}") for line in network_lines(summary)]
    return lines


def _check(check: CheckResult) -> Text:
    row = gate_words(check)
    invalid, rule = row.word == NOT_JUDGED, row.kind == "RULE"
    relation = (
        "; limit" if not rule and (invalid or check.value is None) else ", wanted" if row.status == "FAIL" else ";" if rule else ""
    )
    line = Text.assemble(
        f"{row.kind:<5}",
        (f"{row.word:<8}", _STYLE[row.status]),
        f" {printable(row.name)} {row.value}{relation} {row.limit} (n={row.samples})",
    )
    if check.hint and not invalid:
        line.append(f" - {printable(check.hint)}")
    return line


def _answer(summary: Summary) -> Text:
    return Text(answer(summary), style="bold" if summary.generator.valid else "bold red")
