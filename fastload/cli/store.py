"""Writes what a run leaves behind into its `-o` directory; the one list of those files.

Knows nothing of how a run went. Invariant: the directory exists, and holds enough for `report`, `compare`, `merge` and exports.
"""

from __future__ import annotations

from pathlib import Path

from fastload.cli.outputs import HISTOGRAMS_FILE, REQUESTS_FILE, SUMMARY_FILE, TEXTS_FILE
from fastload.report.histograms_file import write_histograms
from fastload.report.json import write_summary
from fastload.report.tables import write_requests_csv
from fastload.report.texts import write_requests_jsonl
from fastload.stats.collector import Collector
from fastload.stats.facts import RunFacts
from fastload.stats.result import Summary


def store_result(out: Path, summary: Summary, facts: RunFacts, collector: Collector) -> None:
    """Write every file of a result.

    Raises:
        FastloadError: one cannot be written.
    """
    write_summary(summary, out / SUMMARY_FILE)
    write_requests_csv(out / REQUESTS_FILE, facts, collector.records())
    write_histograms(out / HISTOGRAMS_FILE, facts, collector)
    if facts.journals:
        write_requests_jsonl(out / TEXTS_FILE, facts)
