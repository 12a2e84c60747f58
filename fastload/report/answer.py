"""The answer of a run in one sentence, and its gates and rules in words: what reports show in the same way.

Reads a `Summary`, computes nothing, knows neither HTML nor Markdown. Invariant: a gate of an INVALID run is "not judged".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from fastload.plan.describe import amount
from fastload.plan.model import Plan
from fastload.report.words import TOKEN_SOURCES, count, ms, percent, plural, printable, rate
from fastload.stats.result import CheckResult, Quantiles, Summary

__all__ = ["NOT_JUDGED", "TOKEN_SOURCES", "Gate", "answer", "gate_words", "gates", "load", "output_tokens", "remarks", "trust"]

_UNIT: Final = re.compile(r"\d( us| µs| ms| s|%)?$")
NOT_JUDGED: Final = "not judged"
_FOR_A_P99: Final = 100


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate or rule as a row of a table; `status` is what to colour by, the rest are texts."""

    status: str
    """PASS, INFO, WARNING, CRITICAL, FAIL or INVALID."""
    word: str
    """The same for people."""
    kind: str
    """SLO or RULE."""
    name: str
    value: str
    limit: str
    samples: str
    hint: str


def answer(summary: Summary) -> str:
    """Return one sentence on what users felt and one on whether to believe it."""
    latency, requests = summary.latency_ms, summary.requests
    if latency.ttft is not None:
        felt = f"Users saw the first token after {ms(latency.ttft.p50)} ({_slowest(latency.ttft)})"
        if latency.tpot is not None and latency.tpot.p50 > 0:
            felt += f", then read {rate(1e3 / latency.tpot.p50)} tokens/s"
    elif latency.e2e is not None:
        felt = f"Users had the answer after {ms(latency.e2e.p50)} ({_slowest(latency.e2e)})"
    else:
        felt = "No user got a whole answer that was measured"
    ended = requests.started - requests.cancelled
    if requests.failed and ended:
        felt += f"; {percent(requests.failed / ended)} of the requests failed"
    return f"{felt}. {trust(summary)}"


def load(summary: Summary) -> str | None:
    """Return how much load the run's plan makes: `50 users`, `2 requests/s (poisson)`, `stages 10..100@5m of users`.

    None of a merged result, whose plan is that of one run of several, and of a plan this version cannot read.
    """
    if summary.run.merged is not None:
        return None
    try:
        return printable(amount(Plan.model_validate(summary.run.plan)))
    except ValidationError:
        return None


def remarks(summary: Summary) -> list[str]:
    """Return what a reader of the ledger must know besides: load that was not made, attempts it does not count, an early end."""
    run, requests = summary.run, summary.requests
    found = []
    if requests.missed:
        found.append(
            f"{count(requests.missed)} of {count(requests.missed + requests.started)} arrivals missed: they found no place"
        )
    if requests.retried:
        found.append(f"{plural(requests.retried, 'failed attempt')} followed by another, not counted as failed requests")
    if requests.shortened:
        found.append(f"{plural(requests.shortened, 'answer')} shorter than ignore_eos demanded, in no latency")
    if run.steady is not None:
        found.append(f"measured: the steady part, {run.steady}")
    if run.stop_reason is not None:
        found.append(f"stopped early: {run.stop_reason}")
    if run.interrupted:
        found.append("stopped early by Ctrl-C")
    return [printable(text) for text in found]


def _slowest(block: Quantiles) -> str:
    """Return what the slowest users felt: of fewer than 100 requests nobody knows the slowest one in a hundred."""
    if block.count >= _FOR_A_P99:
        return f"1 in 100 after {ms(block.p99)} or more"
    return f"the slowest of {block.count} after {ms(block.max)}" if block.count > 1 else "one request"


def trust(summary: Summary) -> str:
    """Return the sentence on whether to believe the numbers."""
    if summary.generator.valid:
        return "The numbers are the server's."
    return "Do not use these numbers: the generator was the limit."


def output_tokens(summary: Summary) -> str:
    """Return the output tokens of the run and whose count they are."""
    tokens = summary.tokens
    if tokens.output == 0 and summary.requests.completed and summary.throughput.output_tokens_per_s is None:
        return "no output tokens counted"
    return f"{count(tokens.output)} output tokens ({TOKEN_SOURCES[tokens.source]})"


def gates(summary: Summary) -> list[Gate]:
    """Return every gate and rule in words."""
    return [gate_words(check) for check in summary.verdict.checks]


def gate_words(check: CheckResult) -> Gate:
    """Return one of them in words."""
    invalid = check.status == "INVALID"
    status = "INFO" if check.level == "INFO" and not invalid else check.status
    return Gate(
        status=status,
        word=NOT_JUDGED if invalid else status,
        kind="SLO" if check.level is None else "RULE",
        name=check.name,
        value="no data" if check.value is None else f"{check.value:.4g}{_unit(check.limit)}",
        limit=check.limit,
        samples=count(check.n),
        hint=NOT_JUDGED if invalid else check.hint or "",
    )


def _unit(limit: str) -> str:
    """Return the unit at the end of a limit such as `< 800 ms`, `< 1%` or `WARNING > 5 s, CRITICAL > 30 s`."""
    match = _UNIT.search(limit)
    return "" if match is None else match[1] or ""
