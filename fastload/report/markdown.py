"""The report as Markdown (GitHub's), for a ticket or a pull request.

The same order as everywhere: verdict and trust, what users felt, what went wrong, details. Reads a `Summary`, computes nothing.

Invariant: what a server or a plan says is shown as it is: it makes no HTML, no table cell and no emphasis of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from fastload.report.answer import answer, gates, load, output_tokens, remarks
from fastload.report.cost import cost_lines
from fastload.report.custom import custom_lines
from fastload.report.observed import network_lines
from fastload.report.plan_words import model_of
from fastload.report.words import count, ms, percent, plural, printable, rate, size, us
from fastload.stats.metrics import METRICS
from fastload.stats.result import Quantiles, Summary

_COLUMNS: Final = ("mean", "p50", "p90", "p95", "p99", "p999", "max")
_SPECIAL: Final = re.compile(r"[\\`*_\[\]<>|~&#!$]")
"""Characters that mean something in GitHub's Markdown inside a line."""
_MAX_EXAMPLE: Final = 300


def markdown(summary: Summary) -> str:
    """Return the report, ending in a line break."""
    parts = [
        _head(summary),
        _verdict(summary),
        _felt(summary),
        _through(summary),
        _errors(summary),
        _endpoints(summary),
        _details(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: str) -> str:
    """Return a text that Markdown shows as it is, on one line; `@` cannot be escaped but by a reference, and would call people."""
    return _SPECIAL.sub(r"\\\g<0>", printable(value)).replace("@", "&#64;")


def _head(summary: Summary) -> str:
    run, requests = summary.run, summary.requests
    targets = ", ".join(str(target.get("url", "")) for target in run.plan.get("targets", []))
    model = model_of(run.plan)
    title = f"{model} at {targets}" if model else targets
    ledger = f"{plural(requests.started, 'request')}: {count(requests.completed)} completed, {count(requests.failed)} failed, "
    made = load(summary)
    ledger += f"{count(requests.cancelled)} cancelled. {'' if made is None else f'{plain(made)}, '}"
    ledger += f"{run.duration_s:.1f} s measured, fastload {run.version}, "
    merged = "".join(f"\n- merged: {plain(part.id)} from {plain(part.host.hostname)}" for part in run.merged or [])
    merged += "".join(f"\n- {plain(note)}" for note in remarks(summary))
    return f"# {plain(title)}\n\n{ledger}{plain(run.started_at[:19])} UTC." + (f"\n{merged}" if merged else "")


def _verdict(summary: Summary) -> str:
    generator = summary.generator
    word = "VALID" if generator.valid else "INVALID"
    shown = summary.verdict.status if summary.verdict.checks else word
    lines = [f"**{shown}** (run {word})" if shown != word else f"**{word}**"]
    lines += [f"- {plain(reason)}" for reason in generator.reasons]
    rows = [(gate.word, gate.name, gate.value, gate.limit, gate.samples, gate.hint) for gate in gates(summary)]
    if rows:
        kinds = " or ".join(dict.fromkeys(gate.kind for gate in gates(summary)))
        lines += ["", _table(["", kinds, "value", "limit", "samples", ""], rows)]
    if summary.hints:
        lines += ["", *(f"- {plain(hint)}" for hint in summary.hints)]
    return "\n".join(lines)


def _felt(summary: Summary) -> str:
    rows = []
    for name, metric in METRICS.items():
        block: Quantiles | None = getattr(summary.latency_ms, name)
        if block is not None:
            rows.append([metric.label, count(block.count), *(ms(getattr(block, column)) for column in _COLUMNS)])
    table = f"\n\n{_table(['latency', 'count', *_COLUMNS], rows, right=True)}" if rows else ""
    return f"## What users felt\n\n{plain(answer(summary))}{table}"


def _through(summary: Summary) -> str:
    through = summary.throughput
    parts = [f"{rate(through.requests_per_s)} requests/s", f"{rate(through.output_tokens_per_s)} output tokens/s"]
    if through.input_tokens_per_s is not None:
        parts.append(f"{rate(through.input_tokens_per_s)} input tokens/s")
    if through.goodput_per_s is not None:
        parts.append(f"goodput {rate(through.goodput_per_s)} requests/s")
    parts.append(output_tokens(summary))
    lines = [", ".join(parts) + ".", *(f"{plain(line.strip())}." for line in [*cost_lines(summary.cost), *custom_lines(summary)])]
    return "\n\n".join(lines)


def _errors(summary: Summary) -> str:
    if not summary.errors:
        return ""
    rows = [
        [count(group.count), group.kind, str(group.status or "-"), (group.example or "-")[:_MAX_EXAMPLE]]
        for group in summary.errors
    ]
    return f"## What went wrong\n\n{_table(['count', 'kind', 'HTTP', 'example'], rows)}"


def _endpoints(summary: Summary) -> str:
    if len(summary.endpoints) < 2:
        return ""
    rows = []
    for name, one in summary.endpoints.items():
        ttft, e2e = one.latency_ms.ttft, one.latency_ms.e2e
        cells = [name, count(one.requests.completed), count(one.requests.failed), rate(one.throughput.output_tokens_per_s)]
        blocks = (ttft, e2e)
        rows.append([*cells, *(ms(value) for block in blocks for value in ((block.p50, block.p99) if block else (None, None)))])
    head = ["endpoint", "completed", "failed", "tokens/s", "TTFT p50", "TTFT p99", "E2E p50", "E2E p99"]
    return f"## Endpoints\n\n{_table(head, rows, right=True)}"


def _details(summary: Summary) -> str:
    generator, clock, host = summary.generator, summary.clock, summary.run.host
    late, lag = generator.own_lateness_ms, clock.stamp_lag_us
    memory = generator.pss_bytes if generator.pss_bytes is not None else generator.rss_peak_bytes
    rows = [
        ("lateness p99", ms(late.p99 if late else None)),
        ("samples lost", count(generator.samples_lost)),
        ("stamp lag p99", f"{us(lag.p99 if lag else None)} ({clock.receive} clock)"),
        ("coalesced", percent(clock.coalesced_ratio)),
        ("CPU time, memory", f"{generator.cpu_s:.2f} s, {size(memory)}"),
        ("host", f"{host.hostname}, {host.cpu_model}, {host.cpus} CPUs, {size(host.memory_bytes)}, {host.kernel}"),
        ("plan", summary.run.plan_hash),
    ]
    seen = "".join(f"- {plain(line)}\n" for line in network_lines(summary))
    return f"## Details\n\n{_table(['', ''], rows)}{f'{chr(10)}{chr(10)}{seen}'.rstrip() if seen else ''}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = False) -> str:
    """Return a table; with `right` all columns but the first are set to the right."""
    rule = ["---", *(["---:" if right else "---"] * (len(head) - 1))]
    lines = [" | ".join(head), " | ".join(rule), *(" | ".join(map(plain, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
