"""The directory a run left, opened for exports: each file is read when it is first asked for, and once.

Knows the names of the files and no format. Invariant: a file that an export needs and that is not there is an error that names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.report.files.histograms_file import StoredHistograms, read_histograms
from fastload.report.files.json import read_summary
from fastload.report.files.requests_file import LOAD_START_NS, Stored
from fastload.report.files.stored_run import StoredRun, read_run
from fastload.stats import metrics, windows
from fastload.stats.facts import Counts
from fastload.stats.metrics import METRICS, Records, Values
from fastload.stats.result import Summary

SUMMARY: Final = "summary.json"
REQUESTS: Final = "requests.csv"
HISTOGRAMS: Final = "histograms.npz"
TEXTS: Final = "requests.jsonl"
TURN_SHIFT: Final = 40
INDEX_MASK: Final = (1 << TURN_SHIFT) - 1


class Recording:
    """One run, as it lies in a directory.

    Args:
        directory: what `-o` named, or the path of a `summary.json` in it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory if directory.is_dir() else directory.parent
        self._summary = directory / SUMMARY if directory.is_dir() else directory

    @property
    def complete(self) -> bool:
        """Tell whether every file is there; results of earlier versions have no histograms."""
        return all((self.directory / name).exists() for name in (HISTOGRAMS, REQUESTS))

    @cached_property
    def summary(self) -> Summary:
        """The summary."""
        return read_summary(self._summary)

    @cached_property
    def run(self) -> StoredRun:
        """Facts and samples of the run."""
        return read_run(self.directory)

    @cached_property
    def stored(self) -> Stored:
        """Every attempt of every request in the order of `requests.csv`; targets have the numbers of the plan."""
        records = self.run.samples.records()
        return Stored(records, windows.measured(self.run.facts, records), self.histograms.endpoints)

    @cached_property
    def histograms(self) -> StoredHistograms:
        """The gaps between tokens and the other histograms."""
        return read_histograms(self.directory / HISTOGRAMS)

    @property
    def gaps(self) -> dict[str, Counts]:
        """The histogram of each target's gaps (ns) inside the measured window."""
        return dict(zip(self.histograms.endpoints, self.histograms.gaps, strict=True))

    @cached_property
    def requests(self) -> Records:
        """The requests as they ended: attempts that were followed by another are left out."""
        return metrics.final(self.stored.records)

    @cached_property
    def measured(self) -> Records:
        """The latency population."""
        return self.stored.records[self.stored.measured]

    @cached_property
    def texts(self) -> dict[tuple[int, int], tuple[str | None, str | None]]:
        """Prompt and answer by request id and turn, where the run kept them (`--record-text`).

        There are none of a merged result: requests of its runs have the same ids.
        """
        path = self.directory / TEXTS
        if not path.exists() or self.histograms.sources:
            return {}
        try:
            with path.open("rb") as file:
                lines = [orjson.loads(line) for line in file]
            return {(line["request_id"], line["turn"]): (line["prompt"], line["output"]) for line in lines}
        except (OSError, ValueError, KeyError) as error:
            raise FastloadError(f"cannot read {path}", why=str(error)) from None

    @property
    def started(self) -> datetime:
        """Wall clock at the start of the load; the run reads it 20 ms before."""
        return datetime.fromisoformat(self.summary.run.started_at).astimezone(UTC)

    @cached_property
    def started_s(self) -> float:
        """The same in seconds since 1970."""
        return self.started.timestamp()

    def endpoint(self, index: int) -> str:
        """Return the name of a target by the number that records carry."""
        return self.stored.endpoints[index]

    def values(self, name: str, endpoint: int | None = None) -> Values:
        """Return the values of a request's metric (ns) over the latency population, of one target or of all; none are left out."""
        formula = METRICS[name].values
        assert formula is not None
        rows = self.measured
        return metrics.present(formula(rows if endpoint is None else rows[rows["endpoint"] == endpoint]))

    def wall_ns(self, stamps: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return stamps of records as ns since 1970; all of them must have happened."""
        return stamps.astype(np.int64) + (int(self.started_s * 1e6) * 1000 - LOAD_START_NS)


def request_key(number: int) -> tuple[int, int]:
    """Return the index in the plan and the turn, from 1, that a record's id holds."""
    return number & INDEX_MASK, (number >> TURN_SHIFT) + 1
