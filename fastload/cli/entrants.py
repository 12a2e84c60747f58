"""The sides of a comparison, read from what `-o` kept.

Knows nothing of statistics or output. Invariant: the measured window is the run's own (`histograms.npz`); a result merged of runs
at different times is as many stretches of time, so that nothing is expected of the time between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.report.files.histograms_file import StoredHistograms
    from fastload.report.files.requests_file import Stored
    from fastload.stats.contenders import Contender, RunSamples
    from fastload.stats.result import Summary


@dataclass(frozen=True, slots=True)
class Entrant:
    """One side as it was read: its name, its runs, and what they say of themselves."""

    contender: Contender
    summaries: tuple[Summary, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """The files of one run."""

    summary: Summary
    stored: Stored
    histograms: StoredHistograms | None
    """None in results of versions that kept none: then ITL is not compared."""


def read_result(path: Path, name: str) -> Entrant:
    """Return the result a directory holds; one without `summary.json` but with directories that have one is its iterations.

    Raises:
        FastloadError: there is none, or it cannot be read.
    """
    from fastload.stats.contenders import Contender
    from fastload.stats.gap_table import add_gaps

    runs = [_read(run) for run in run_directories(path)]
    tables = [read.histograms.table for read in runs if read.histograms is not None]
    gaps = add_gaps([table.of() for table in tables]) if len(tables) == len(runs) else None
    samples = tuple(part for read in runs for part in _samples(read, None))
    return Entrant(Contender(name, samples, gaps), tuple(read.summary for read in runs))


def read_targets(directory: Path) -> list[Entrant]:
    """Return each target of a single run as a side of its own.

    Raises:
        FastloadError: it has a single target, or cannot be read.
    """
    from fastload.stats.contenders import Contender

    read = _read(directory)
    names = list(read.summary.endpoints)
    if len(names) < 2:
        raise FastloadError(f"{directory} has a single target", why="there is nothing to compare", hint="give a second result")
    entrants = []
    for name in names:
        known = read.histograms is not None and name in read.histograms.endpoints
        gaps = read.histograms.table.of(read.histograms.endpoints.index(name)) if read.histograms is not None and known else None
        entrants.append(Entrant(Contender(name, tuple(_samples(read, name)), gaps), (read.summary,)))
    return entrants


def run_directories(path: Path) -> list[Path]:
    """Return the directories of the runs that a result holds: itself, or, without `summary.json`, those in it that have one.

    Raises:
        FastloadError: there is none.
    """
    from fastload.cli.outputs import SUMMARY_FILE

    directory = path.parent if path.name == SUMMARY_FILE else path
    if (directory / SUMMARY_FILE).exists():
        return [directory]
    runs = sorted((found.parent for found in directory.glob(f"*/{SUMMARY_FILE}")), key=lambda run: (len(run.name), run.name))
    if not runs:
        sides = sorted({str(found.parent.parent) for found in directory.glob(f"*/*/{SUMMARY_FILE}")})
        hint = f"it holds the results of {len(sides)} targets: name {' and '.join(sides[:2])}" if sides else "name what -o named"
        raise FastloadError(f"{path} holds no result", why=f"there is no {SUMMARY_FILE} in it", hint=hint)
    return runs


def _read(directory: Path) -> _Read:
    from fastload.cli.outputs import HISTOGRAMS_FILE, REQUESTS_FILE, SUMMARY_FILE
    from fastload.report.files.histograms_file import read_histograms
    from fastload.report.files.json import read_summary
    from fastload.report.files.requests_file import read_requests
    from fastload.report.files.stored_run import check_of_one_run

    path = directory / HISTOGRAMS_FILE
    read = _Read(
        read_summary(directory / SUMMARY_FILE),
        read_requests(directory / REQUESTS_FILE),
        read_histograms(path) if path.exists() else None,
    )
    check_of_one_run(directory, read.summary, read.stored, read.histograms)
    return read


def _samples(read: _Read, endpoint: str | None) -> list[RunSamples]:
    """Return what a comparison needs of a run, or of one of its targets: one stretch of time, or those of a merged result."""
    from fastload.stats.contenders import RunSamples, inside_window, tokens_in_blocks
    from fastload.stats.windows import ended_in_own

    summary, stored, histograms = read.summary, read.stored, read.histograms
    records, measured, through = stored.records, stored.measured, summary.throughput
    if endpoint is not None:
        chosen = records["endpoint"] == (stored.endpoints.index(endpoint) if endpoint in stored.endpoints else -1)
        records, measured, through = records[chosen], measured[chosen], summary.endpoints[endpoint].throughput
    seconds = None if histograms is None or endpoint is not None else histograms.seconds
    epoch_ns = 0 if histograms is None else histograms.stamps["epoch_ns"]
    rate, windows = through.output_tokens_per_s, _windows(summary, histograms)
    counted = ended_in_own(records, histograms.sources) if histograms is not None and histograms.sources else None
    if len(windows) == 1:
        return [RunSamples(records, measured, windows[0], rate, seconds, epoch_ns, counted)]
    streamed = [float(tokens_in_blocks(records, [float(edge) for edge in window]).sum()) for window in windows]
    told = None if rate is None else rate * summary.run.duration_s
    scale = None if told is None or sum(streamed) <= 0 else told / sum(streamed)
    return [
        RunSamples(
            records,
            measured & inside_window(records, window),
            window,
            None if scale is None else tokens * scale / (window[1] - window[0]) * 1e9,
            seconds,
            epoch_ns,
            counted,
        )
        for window, tokens in zip(windows, streamed, strict=True)
    ]


def _windows(summary: Summary, histograms: StoredHistograms | None) -> list[tuple[int, int]]:
    """Return the measured window on the clock of the records, or the stretches of a merged result."""
    from fastload.report.files.requests_file import LOAD_START_NS
    from fastload.stats.windows import segments

    if histograms is None:
        end_ns = LOAD_START_NS + round(summary.run.load_s * 1e9)
        return [(end_ns - round(summary.run.duration_s * 1e9), end_ns)]
    stamps = histograms.stamps
    whole = (stamps["window_start_ns"], stamps["window_end_ns"])
    return segments((source.window_start_ns, source.window_end_ns) for source in histograms.sources) or [whole]
