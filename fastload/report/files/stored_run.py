"""A result directory back to the facts and samples of its run, from which everything can be computed again.

Joins `summary.json` (what was run, where, how it ended), `requests.csv` (every request) and `histograms.npz` (all the rest).
Invariant: `assess` of what this returns is the stored summary, number by number; what was seen beside the run (`client`, `server`
and the hints that stand on it) is in `summary.json` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from fastload.build import BuildFacts
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.report.files.histograms_file import StoredHistograms, read_histograms
from fastload.report.files.json import read_summary
from fastload.report.files.requests_file import Stored, read_requests
from fastload.report.files.texts import StoredTexts
from fastload.samples.layout import Outcome
from fastload.stats.collected import Collected
from fastload.stats.facts import HostFacts, RunFacts
from fastload.stats.metrics import Records, final
from fastload.stats.result import Summary

_SUMMARY: Final = "summary.json"
_REQUESTS: Final = "requests.csv"
_HISTOGRAMS: Final = "histograms.npz"
_TEXTS: Final = "requests.jsonl"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run, as it was stored."""

    summary: Summary
    facts: RunFacts
    samples: Collected


def read_run(directory: Path) -> StoredRun:
    """Return the run whose result a directory holds.

    Raises:
        FastloadError: a file is missing, damaged, or of another run than the others.
    """
    summary = read_summary(directory / _SUMMARY)
    histograms = read_histograms(directory / _HISTOGRAMS)
    stored = read_requests(directory / _REQUESTS)
    check_of_one_run(directory, summary, stored, histograms)
    try:
        plan = Plan.model_validate(summary.run.plan)
    except ValidationError as error:
        raise FastloadError(f"the plan in {directory / _SUMMARY} is none", why=error.errors()[0]["msg"]) from None
    records = _records(stored, histograms.endpoints, directory)
    facts = _facts(summary, plan, histograms, directory / _TEXTS)
    return StoredRun(summary, facts, Collected(facts.epoch_ns, histograms.table, histograms.seconds, records))


def check_of_one_run(directory: Path, summary: Summary, stored: Stored, histograms: StoredHistograms | None) -> None:
    """Refuse files that are not all of the same run, and a `requests.csv` that has lost rows, which nothing else would show.

    Raises:
        FastloadError: they differ in the run's id, or in how many requests completed, failed and were cancelled.
    """
    what = f"the files in {directory} do not belong together"
    if histograms is not None and histograms.run_id != summary.run.id:
        raise FastloadError(what, why=f"{_SUMMARY} is of run {summary.run.id} and {_HISTOGRAMS} of run {histograms.run_id}")
    outcomes = final(stored.records)["outcome"]
    completed, cancelled = (int(np.count_nonzero(outcomes == kind)) for kind in (Outcome.COMPLETED, Outcome.CANCELLED))
    found = (completed, len(outcomes) - completed - cancelled, cancelled)
    told = (summary.requests.completed, summary.requests.failed, summary.requests.cancelled)
    if found != told:
        words = "{} completed, {} failed and {} cancelled requests"
        why = f"{_SUMMARY} tells of {words.format(*told)}, {_REQUESTS} of {words.format(*found)}"
        raise FastloadError(what, why=why, hint="rows are missing, or one of the files is of another run")


def _records(stored: Stored, endpoints: tuple[str, ...], directory: Path) -> Records:
    """Return the records with the endpoints' numbers of the plan instead of those of the file's own order."""
    unknown = [name for name in stored.endpoints if name not in endpoints]
    if unknown:
        raise FastloadError(f"{directory / _REQUESTS} names the target {unknown[0]!r}", why=f"{_HISTOGRAMS} knows of none")
    number_of = np.array([endpoints.index(name) for name in stored.endpoints], dtype=np.uint8)
    records = stored.records
    if len(number_of):
        records["endpoint"] = number_of[records["endpoint"]]
    return records


def _facts(summary: Summary, plan: Plan, histograms: StoredHistograms, texts: Path) -> RunFacts:
    run, own, stamps = summary.run, histograms.own, histograms.stamps
    return RunFacts(
        run_id=run.id,
        version=run.version,
        started_at=datetime.fromisoformat(run.started_at),
        plan=plan,
        host=HostFacts(**run.host.model_dump()),
        epoch_ns=stamps["epoch_ns"],
        load_start_ns=stamps["load_start_ns"],
        window_start_ns=stamps["window_start_ns"],
        window_end_ns=stamps["window_end_ns"],
        load_end_ns=stamps["load_end_ns"],
        end_ns=stamps["end_ns"],
        workers=histograms.workers,
        supervisor_cpu_s=own["supervisor_cpu_s"],
        supervisor_rss_peak_bytes=own["supervisor_rss_peak_bytes"],
        supervisor_pss_bytes=own["supervisor_pss_bytes"],
        user_samples=histograms.user_samples,
        error_examples={
            (int(Outcome[group.kind.upper()]), group.status or 0): group.example
            for group in summary.errors
            if group.example is not None
        },
        interrupted=run.interrupted,
        stop_reason=run.stop_reason,
        steady=run.steady,
        counted=own["counted"],
        journals=(StoredTexts(texts, run.id),) if texts.exists() else (),
        reasons=own["reasons"],
        sources=histograms.sources,
        build=None if run.build is None else BuildFacts(version=run.version, **run.build.model_dump()),
    )
