"""`report.html`: one file that opens without a network, from the directory `-o` wrote.

From top to bottom: can it be trusted and did it pass, what users felt, the plots, the details. Reads `summary.json` or
`stress.json`, and `requests.csv` and `histograms.npz` where they are there; computes no metric. Import it late: it brings in numpy
and plotly.

Invariant: the page fetches nothing and runs no script but the two it names by their hash; its content security policy sees to both,
even if a text were to slip through the escaping.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from fastload.report.answer import answer, load, output_tokens, remarks
from fastload.report.capacity import load_words
from fastload.report.cost import cost_lines
from fastload.report.custom import custom_lines
from fastload.report.files.histograms_file import read_histograms
from fastload.report.files.json import read_summary
from fastload.report.files.model_file import read_model
from fastload.report.files.requests_file import read_requests
from fastload.report.files.stored_run import check_of_one_run
from fastload.report.page.capacity_sections import best_load, search_section, stress_sections
from fastload.report.page.observed import observed_section
from fastload.report.page.page import figures, page_of, write_page
from fastload.report.page.plots import library
from fastload.report.page.plots_data import Material
from fastload.report.page.plots_observed import observed_plots
from fastload.report.page.plots_requests import request_plots
from fastload.report.page.plots_timeline import timeline_plots
from fastload.report.page.tables import (
    TONES,
    endpoint_tables,
    error_table,
    gate_table,
    latency_table,
    pairs,
    text,
    trust_table,
    turn_table,
    worker_table,
)
from fastload.report.plan_words import model_of
from fastload.report.words import count, plural, printable, rate, size
from fastload.stats.result import Summary
from fastload.stats.search_result import StressResult

REPORT_FILE: Final = "report.html"
_SUMMARY: Final = "summary.json"
_REQUESTS: Final = "requests.csv"
_HISTOGRAMS: Final = "histograms.npz"
_STRESS: Final = "stress.json"
_MAX_PLAN: Final = 100_000
"""Characters of a plan that are shown: inline prompts may be long, and the whole plan is in summary.json."""


def html_report(directory: Path) -> str:
    """Return the page of the result in `directory`; a `summary.json` itself does as well.

    Raises:
        FastloadError: there is no result, it cannot be read, its files are not of one run, or the plotting library is missing.
    """
    script = library()
    summary_file = directory / _SUMMARY if directory.is_dir() else directory
    stress_file = summary_file.with_name(_STRESS)
    if not summary_file.exists() and stress_file.exists():
        return page_of("Stress ramp", stress_sections(read_model(StressResult, stress_file)), script)
    summary = read_summary(summary_file)
    requests_file = summary_file.with_name(_REQUESTS)
    stored = read_requests(requests_file) if requests_file.exists() else None
    histograms_file = summary_file.with_name(_HISTOGRAMS)
    histograms = read_histograms(histograms_file) if histograms_file.exists() else None
    if stored is not None:
        check_of_one_run(summary_file.parent, summary, stored, histograms)
    return page_of(_title(summary), _sections(Material(summary, stored, histograms)), script)


def write_html_report(directory: Path, path: Path) -> None:
    """Write the page of the result in `directory` to `path`, all or nothing.

    Raises:
        FastloadError: as `html_report`, or the file cannot be written.
    """
    write_page(html_report(directory), path)


def _title(summary: Summary) -> str:
    model = model_of(summary.run.plan)
    targets = ", ".join(str(target.get("url", "")) for target in summary.run.plan.get("targets", []))
    return f"{model} at {targets}" if model else targets


def _sections(material: Material) -> Iterable[str]:
    summary = material.summary
    yield _head(summary)
    yield _verdict(summary)
    if summary.search is not None:
        yield search_section(summary.search)
    yield f'<h2>{text(_felt(summary))}</h2><p class="answer">{text(answer(summary))}</p>'
    if len(summary.endpoints) > 1:
        yield f"<h3>Endpoints</h3>{endpoint_tables(summary.endpoints)}<h3>All together</h3>"
    yield latency_table(summary.latency_ms)
    yield _throughput(summary)
    if summary.errors:
        yield f"<h2>What went wrong</h2>{error_table(summary.errors)}"
    yield "<h2>Plots</h2>"
    if material.stored is None:
        yield f'<p class="soft">{_REQUESTS} is not here, so there are no plots of single requests.</p>'
    yield figures([*request_plots(material), *timeline_plots(material), *observed_plots(material)])
    yield observed_section(summary)
    yield f"<h2>Details</h2>{turn_table(summary)}{_details(summary)}"


def _felt(summary: Summary) -> str:
    search = summary.search
    if search is None or search.best is None:
        return "What users felt"
    return f"What users felt at {load_words(search.over, best_load(search.best))}"


def _head(summary: Summary) -> str:
    run, requests = summary.run, summary.requests
    asked = load(summary)
    facts = [] if asked is None else [asked]
    facts += [f"{run.duration_s:.1f} s measured of {run.load_s:.1f} s of load", f"{max(run.total_s - run.load_s, 0):.1f} s drain"]
    ledger = f"{plural(requests.started, 'request')}: {count(requests.completed)} completed, {count(requests.failed)} failed, "
    ledger += f"{count(requests.cancelled)} cancelled"
    notes = remarks(summary)
    notes += [
        f"merged: {part.id} from {part.host.hostname}, {part.started_at[:19].replace('T', ' ')} UTC" for part in run.merged or []
    ]
    lines = "".join(f"<p>{text(note)}</p>" for note in notes)
    when = run.started_at[:19].replace("T", " ")
    about = f"fastload {run.version}, {when} UTC, from {run.host.hostname}; {', '.join(facts)}"
    return f'<h1>{text(_title(summary))}</h1><p class="soft">{text(about)}</p><p>{text(ledger)}</p>{lines}'


def _verdict(summary: Summary) -> str:
    status = summary.verdict.status
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in summary.generator.reasons)
    hints = f"<ul>{''.join(f'<li>{text(hint)}</li>' for hint in summary.hints)}</ul>" if summary.hints else ""
    return (
        f'<section class="verdict {TONES[status]}" aria-label="Verdict">{_judged(summary)}'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}{gate_table(summary)}{hints}</section>"
    )


def _judged(summary: Summary) -> str:
    """Return the verdict, and below it whether the numbers can be trusted, which is the verdict where nothing was asked."""
    status = summary.verdict.status
    if not summary.generator.valid:
        return '<p class="word">INVALID: do not use these numbers, the generator was the limit.</p>'
    trusted = "VALID: the numbers are the server's."
    if summary.verdict.checks:
        return f'<p class="word">{status}</p><p>{trusted}</p>'
    if summary.requests.completed == 0 and summary.requests.failed:
        return f'<p class="word">{status}: every request failed.</p><p>{trusted}</p>'
    return f'<p class="word">{trusted}</p>'


def _throughput(summary: Summary) -> str:
    through, tokens = summary.throughput, summary.tokens
    rows = [("requests/s", rate(through.requests_per_s))]
    if tokens.output:
        rows.append(("output tokens/s", rate(through.output_tokens_per_s)))
    if through.input_tokens_per_s is not None:
        rows.append(("input tokens/s", rate(through.input_tokens_per_s)))
    if through.goodput_per_s is not None:
        rows.append(("goodput, requests/s", rate(through.goodput_per_s)))
    rows.append(("tokens", f"{output_tokens(summary)}, {count(tokens.input)} input"))
    rows += [("cost", line.removeprefix("Cost ").strip()) for line in cost_lines(summary.cost)]
    rows += [("metric", line) for line in custom_lines(summary)]
    return pairs(rows)


def _details(summary: Summary) -> str:
    host, run = summary.run.host, summary.run
    facts = [
        ("host", host.hostname),
        ("CPU", f"{host.cpu_model}, {plural(host.cpus, 'core')} used"),
        ("memory", size(host.memory_bytes)),
        ("kernel", host.kernel),
        ("Python", host.python),
        ("open files", count(host.nofile)),
        ("run", f"{run.id}, plan {run.plan_hash}"),
    ]
    plan = yaml.safe_dump(_set_values(run.plan), sort_keys=False, allow_unicode=True, width=120)
    if len(plan) > _MAX_PLAN:
        plan = f"{plan[:_MAX_PLAN]}\n… the rest is in {_SUMMARY}"
    shown = "\n".join(html.escape(printable(line)) for line in plan.split("\n"))
    return (
        f"<h3>What measuring cost</h3>{trust_table(summary)}<details><summary>Workers</summary>{worker_table(summary)}</details>"
        f"<h3>Host</h3>{pairs(facts)}<details><summary>Plan</summary><pre>{shown}</pre></details>"
    )


def _set_values(value: Any) -> Any:
    """Return a plan without what is not set."""
    if isinstance(value, dict):
        kept = {name: _set_values(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, {}, [])}
    return [_set_values(part) for part in value] if isinstance(value, list) else value
