"""Writes what a run leaves behind into its `-o` directory; the one list of those files.

Knows nothing of how a run went. Invariant: the directory exists, and holds enough for `report`, `compare`, `merge` and exports.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from fastload.cli.outputs import (
    HISTOGRAMS_FILE,
    PAGE_FILE,
    REQUESTS_FILE,
    SUMMARY_FILE,
    TEXTS_FILE,
    TOKENS_FILE,
)
from fastload.report.exports.hdr_files import HLOG_FILE, write_hlog
from fastload.report.files.histograms_file import write_histograms
from fastload.report.files.json import write_summary
from fastload.report.files.requests_csv import write_requests_csv
from fastload.report.files.texts import write_requests_jsonl
from fastload.samples.token_file import TokenFile, open_tokens
from fastload.stats.collected import Samples
from fastload.stats.facts import RunFacts
from fastload.stats.result import Summary


def store_result(out: Path, summary: Summary, facts: RunFacts, samples: Samples) -> None:
    """Write every file of a result, and remove those of an earlier one in the same directory that would be taken for its own.

    Raises:
        FastloadError: one cannot be written.
    """
    for name in (TEXTS_FILE, PAGE_FILE):
        (out / name).unlink(missing_ok=True)
    write_summary(summary, out / SUMMARY_FILE)
    write_requests_csv(out / REQUESTS_FILE, facts, samples.records())
    write_histograms(out / HISTOGRAMS_FILE, facts, samples)
    write_hlog(out / HLOG_FILE, facts, samples)
    if facts.journals:
        write_requests_jsonl(out / TEXTS_FILE, facts)


def store_tokens(tokens: TokenFile, facts: RunFacts, samples: Samples) -> None:
    """Complete `tokens.bin`, and make `tokens.parquet` of it, which takes its place; without pyarrow it stays, with a note.

    Raises:
        FastloadError: one of them cannot be written.
    """
    zero = facts.load_start_ns
    tokens.finish(facts.epoch_ns - zero, facts.window_start_ns - zero, facts.window_end_ns - zero)
    if find_spec("pyarrow") is None:
        note = f"the tokens are in {tokens.path}: fastload export --format tokens makes tokens.parquet where pyarrow is installed"
        print(f"fastload: note: {note}", file=sys.stderr)
        return

    from fastload.report.exports.registry import ExportFile, write_file
    from fastload.report.exports.tokens import write_tokens

    stored = open_tokens(tokens.path)
    names = [target.name for target in facts.plan.targets]
    made = ExportFile(TOKENS_FILE, lambda file: write_tokens(file, stored, samples.records(), zero, names, facts.run_id))
    write_file(made, tokens.path.with_name(TOKENS_FILE))
    tokens.path.unlink()


def store_junit(path: Path, summary: Summary) -> None:
    """Write the gates as JUnit XML; `-` is stdout.

    Raises:
        FastloadError: the file cannot be written.
    """
    from fastload.report.exports.junit import JUNIT_FILE, junit_xml
    from fastload.report.exports.registry import ExportFile, write_file

    text = junit_xml(summary)
    write_file(ExportFile(JUNIT_FILE, lambda file: _put(file, text)), path)


def _put(file: IO[bytes], text: bytes) -> None:
    file.write(text)
