"""`histograms.hlog`, an HdrHistogram log with a tag per metric and target, and `METRIC.hgrm`, HdrHistogram's percentile tables.

Values in the log are ns. It has one interval, the measured window, and one line per tag: METRIC for the whole run, and where
there are several targets METRIC@TARGET for each; so tools must be told which tag to read, for together they would count twice.
Invariant: a metric without data has no line and no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from math import sqrt
from pathlib import Path
from typing import IO, Final

import numpy as np

from fastload.errors import FastloadError
from fastload.report.exports.hdr import BUCKETS, SUB_BUCKETS, encode, hdr_counts, highest_values, median_values, value_counts
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile, write_file
from fastload.stats import windows
from fastload.stats.collected import Samples
from fastload.stats.facts import Counts, RunFacts
from fastload.stats.metrics import METRICS, Records, present

HLOG_FILE: Final = "histograms.hlog"
_MS_NS: Final = 1e6
_TICKS: Final = 5
"""Percentiles are listed five to each halving of what is left to 100 %, HdrHistogram's default."""

Tagged = tuple[str, Counts]
"""A tag and the counts in HdrHistogram's order."""


def files(recording: Recording, name: str) -> list[ExportFile]:
    """Return the log, or a table per metric.

    Raises:
        FastloadError: the run has no latency at all.
    """
    tagged = list(_stored(recording))
    if name == "hlog":
        run = recording.summary.run
        text = hlog(tagged, recording.started, run.load_s, run.id).encode()
        return [ExportFile(HLOG_FILE, lambda file: _write(file, text))]
    if not tagged:
        raise FastloadError("there is no percentile table of a run without latencies")
    return [ExportFile(f"{_escaped(tag.replace('@', '.', 1), '/')}.hgrm", partial(_write_table, counts)) for tag, counts in tagged]


def write_hlog(path: Path, facts: RunFacts, samples: Samples) -> None:
    """Write the log of a run that has just ended.

    Raises:
        FastloadError: the file cannot be written.
    """
    records = samples.records()
    names = [target.name for target in facts.plan.targets]
    tagged = tagged_counts(
        records[windows.measured(facts, records)],
        [samples.gaps(index)[0] for index in range(len(names))],
        names,
        range(len(names)),
    )
    text = hlog(list(tagged), facts.started_at, windows.load_s(facts), facts.run_id).encode()
    write_file(ExportFile(HLOG_FILE, lambda file: _write(file, text)), path)


def _write(file: IO[bytes], text: bytes) -> None:
    file.write(text)


def _write_table(counts: Counts, file: IO[bytes]) -> None:
    file.write(percentile_table(counts).encode())


def _stored(recording: Recording) -> Iterator[Tagged]:
    names = recording.stored.endpoints
    yield from tagged_counts(recording.measured, [recording.gaps[name] for name in names], names, range(len(names)))


def tagged_counts(chosen: Records, gaps: Sequence[Counts], names: Sequence[str], numbers: Sequence[int]) -> Iterator[Tagged]:
    """Yield every tag that has data.

    Args:
        chosen: the latency population.
        gaps: the histogram of each target's gaps, layout of `fastload.samples.layout`.
        names: the targets.
        numbers: the number of each in the records.
    """
    parts: list[tuple[str | None, Records, Counts]] = [(None, chosen, np.sum(gaps, axis=0, dtype=np.uint64))]
    if len(names) > 1:
        for name, number, own in zip(names, numbers, gaps, strict=True):
            parts.append((name, chosen[chosen["endpoint"] == number], own))
    for key, metric in METRICS.items():
        for target, records, own in parts:
            counts = hdr_counts(own) if metric.values is None else value_counts(present(metric.values(records)))
            if len(counts):
                yield key if target is None else f"{key}@{target}", counts


def hlog(tagged: Sequence[Tagged], started: datetime, length_s: float, run_id: str) -> str:
    """Return the text of a log, format version 1.3."""
    start_s = started.timestamp()
    shown = started.astimezone(UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    lines = [
        f"#[fastload run {run_id}; values in ns; one interval; a tag per metric, and METRIC@TARGET for one of several targets]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {start_s:.3f} (seconds since epoch), {shown}]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for tag, counts in tagged:
        highest = int(highest_values(counts)[-1])
        # The maximum is shown in ms, as HdrHistogram's own writer does by default.
        lines.append(f"Tag={_escaped(tag, ', ')},0.000,{length_s:.3f},{highest / _MS_NS:.3f},{encode(counts)}")
    return "\n".join([*lines, ""])


def _escaped(text: str, special: str) -> str:
    """Return a text with these characters percent-encoded, so that no two become the same: what divides a log's lines, or paths."""
    return "".join(f"%{ord(character):02X}" if character in special or character == "%" else character for character in text)


def percentile_table(counts: Counts) -> str:
    """Return HdrHistogram's percentile distribution of values in ns, as ms with three decimals."""
    total = int(counts.sum())
    cumulated = np.cumsum(counts.astype(np.int64))
    ends = highest_values(counts)
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    filled = np.flatnonzero(counts)
    level = 0.0
    for place, index in enumerate(filled.tolist()):
        so_far = int(cumulated[index])
        share = 100.0 * so_far / total
        while level <= share and not (place == len(filled) - 1 and level >= 100.0):
            value = ends[index] / _MS_NS
            lines.append(f"{value:12.3f} {level / 100:2.12f} {so_far:10d} {1 / (1 - level / 100):14.2f}")
            level = _next_level(level)
            if so_far == total:
                break
    lines.append(f"{ends[filled[-1]] / _MS_NS:12.3f} {1.0:2.12f} {total:10d}")
    middles = median_values(counts)[filled].astype(np.float64) / _MS_NS
    weights = counts[filled].astype(np.float64)
    mean = float(middles @ weights) / total
    stdev = sqrt(float(((middles - mean) ** 2) @ weights) / total)
    lines += [
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {stdev:12.3f}]",
        f"#[Max     = {ends[filled[-1]] / _MS_NS:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {BUCKETS:12d}, SubBuckets     = {SUB_BUCKETS:12d}]",
    ]
    return "\n".join([*lines, ""])


def _next_level(level: float) -> float:
    """Return the next percentile: steps halve as often as the rest to 100 % has halved."""
    halvings = int(np.log2(100.0 / (100.0 - level))) + 1
    return level + 100.0 / (_TICKS * 2.0**halvings)
