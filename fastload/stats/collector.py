"""Takes everything the rings deliver while a run goes on: bins tokens in place, keeps request records, answers the live view.

Where no kernels are linked they compile in a background thread; samples that come before they are ready are copied aside and
binned afterwards, so nothing is lost. One thread calls a collector. Knows nothing of rings, processes or clocks: whoever calls
says what time it is.

Invariant: `total_events()` after `finish` is the number of samples handed to `add_tokens`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import RECORD_DTYPE, TIME_MASK, Outcome
from fastload.stats import kernels as k
from fastload.stats import metrics
from fastload.stats.compiled import Kernels, load_in_background
from fastload.stats.gap_table import GapTable
from fastload.stats.histogram import Counts, Moments, rank
from fastload.stats.kernels import U64Array
from fastload.stats.metrics import Records
from fastload.stats.phase_tokens import PhaseTokens
from fastload.stats.seconds import SecondHistograms, coarse_midpoints

LIVE_SECONDS: Final = 3
"""What the live view calls "now": short enough to follow a change, long enough for a p99 at a few hundred events a second."""
_SECOND_NS: Final = 1_000_000_000
_CHUNK_RECORDS: Final = 8192
"""1 MB of records: large enough to append cheaply, small enough that a short run stays small."""
_QUANTILE_CHUNKS: Final = 2
"""Quantiles are over at most 16,000 of the newest records: a p99 of 160 samples above it, and a frame in milliseconds."""
_UNBOUNDED: Final = TIME_MASK + 1
_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class LiveNumbers:
    """The run at one moment; rates and quantiles are over the last `LIVE_SECONDS`, None = no data."""

    completed: int
    failed: int
    cancelled: int
    requests_per_s: float | None
    tokens_per_s: float | None
    """Content events per second; None until the kernels are compiled."""
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    itl_p50_ms: float | None
    itl_p99_ms: float | None
    lateness_p99_ms: float | None
    """Own lateness of the generator (`metrics.own_lateness`)."""
    coalesced_ratio: float | None
    """Over the whole run so far."""
    errors: dict[str, int]
    """Failures of the whole run so far, by kind."""
    recent: Records
    """What ended within `LIVE_SECONDS`, of at most the newest `_QUANTILE_CHUNKS` chunks."""
    recent_gaps: Counts
    """Coarse histogram (`seconds.coarse_midpoints`) of their gaps; empty until the kernels are compiled."""


class Collector:
    """Collects one run.

    Args:
        epoch_ns: zero of the token samples' clock (CLOCK_MONOTONIC).
        endpoints: how many endpoint indices the samples use.
        kernels: a future for the kernels; None takes the linked ones, or starts compiling them in the background.
    """

    def __init__(self, epoch_ns: int, endpoints: int = 1, kernels: Future[Kernels] | None = None) -> None:
        self.epoch_ns = epoch_ns
        self.endpoints = endpoints
        self.seconds = SecondHistograms()
        self._future = load_in_background() if kernels is None else kernels
        self._window = (0, _UNBOUNDED)
        self.table = GapTable.empty(endpoints)
        self._spill: list[U64Array] = []
        self._any_tokens = False
        self.phases: PhaseTokens | None = None
        """Tokens by phase of the load; set by `watch_phases`."""
        self._chunks: list[Records] = []
        self._joined: Records = np.zeros(0, dtype=RECORD_DTYPE)
        self._filled = _CHUNK_RECORDS
        """Records in the last chunk."""
        self.outcomes = np.zeros((endpoints, 256), dtype=np.int64)
        """Records so far, by endpoint and outcome."""
        self._completed_in: Counter[int] = Counter()
        """By second since the epoch."""
        self._coarse = coarse_midpoints()

    def set_epoch(self, epoch_ns: int) -> None:
        """Set the zero of the token samples' clock, once it is known.

        Raises:
            RuntimeError: samples came already.
        """
        if self._any_tokens or self._chunks:
            raise RuntimeError("the epoch must be set before the first sample")
        self.epoch_ns = epoch_ns

    def set_window(self, start_ns: int, end_ns: int | None) -> None:
        """Set the measured window [start, end) on CLOCK_MONOTONIC; None = it has not ended yet.

        Raises:
            RuntimeError: tokens came already and the new window would have judged one of them differently.
        """
        start = max(start_ns - self.epoch_ns, 0)
        end = _UNBOUNDED if end_ns is None else max(end_ns - self.epoch_ns, 0)
        if self._any_tokens and start != self._window[0]:
            raise RuntimeError("the measured window must be set before the first token sample")
        self._window = (start, end)

    def watch_phases(self, windows_ns: Sequence[tuple[int, int]]) -> None:
        """Keep the tokens of these phases (begin and end on CLOCK_MONOTONIC) apart as well; of none, nothing is kept.

        Raises:
            RuntimeError: tokens came already and would be missing.
        """
        if self._any_tokens:
            raise RuntimeError("phases must be set before the first token sample")
        windows = [(max(start - self.epoch_ns, 0), max(end - self.epoch_ns, 0)) for start, end in windows_ns]
        self.phases = PhaseTokens(windows, self.endpoints) if windows else None

    def add_tokens(self, words: U64Array) -> None:
        """Take token samples, shape (n, 2).

        DANGER: `words` may be a view of a ring. It is read before this returns and no reference to it is kept.
        """
        if len(words) == 0:
            return
        self._any_tokens = True
        if not self._future.done():
            self._spill.append(words.copy())
            return
        self._bin_spill()
        self._bin(words)

    def add_records(self, records: Records) -> None:
        """Take finished requests; they are copied, so `records` may be a view of a ring."""
        np.add.at(self.outcomes, (records["endpoint"], records["outcome"]), 1)
        ended = records["end_ns"][records["outcome"] == Outcome.COMPLETED]
        seconds, numbers = np.unique((ended - np.uint64(self.epoch_ns)) // np.uint64(_SECOND_NS), return_counts=True)
        for second, number in zip(seconds.tolist(), numbers.tolist(), strict=True):
            self._completed_in[second] += number
        taken = 0
        while taken < len(records):
            if self._filled == _CHUNK_RECORDS:
                self._chunks.append(np.zeros(_CHUNK_RECORDS, dtype=RECORD_DTYPE))
                self._filled = 0
            now = min(len(records) - taken, _CHUNK_RECORDS - self._filled)
            self._chunks[-1][self._filled : self._filled + now] = records[taken : taken + now]
            self._filled += now
            taken += now

    def finish(self) -> None:
        """Wait for the kernels and bin what is still aside; raises what kept the kernels from compiling."""
        self._future.result()
        self._bin_spill()

    def records(self) -> Records:
        """Return every record so far, in the order they came.

        A second call may return the same array: only who completes records after the run (`engine.journal`) writes to it.
        """
        have = sum(len(chunk) for chunk in self._chunks) - (_CHUNK_RECORDS - self._filled)
        if have <= 0:
            return np.zeros(0, dtype=RECORD_DTYPE)
        if len(self._joined) != have:
            self._joined = np.concatenate([*self._chunks[:-1], self._chunks[-1][: self._filled]])
        return self._joined

    def records_from(self, first: int) -> Records:
        """Return the records from number `first` on, in the order they came, without joining those before."""
        at, skip = divmod(first, _CHUNK_RECORDS)
        chunks = [*self._chunks[:-1], *(chunk[: self._filled] for chunk in self._chunks[-1:])]
        parts = [chunk[skip if number == 0 else 0 :] for number, chunk in enumerate(chunks[at:])]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=RECORD_DTYPE)

    def gaps(self, endpoint: int | None = None) -> tuple[Counts, Moments | None]:
        """Return histogram and exact moments of the gaps (ns) inside the window, of one endpoint or of all; None = no gap."""
        return self.table.of(endpoint)

    def total(self, column: int, endpoint: int | None = None) -> int:
        """Return one column (`kernels.EVENTS`, ...) of the event totals, of one endpoint or of all."""
        return self.table.total(column, endpoint)

    def snapshot(self, now_ns: int) -> LiveNumbers:
        """Return the numbers for the live view at `now_ns` (CLOCK_MONOTONIC)."""
        ready = self._future.done()
        if ready:
            self._bin_spill()
        outcomes = self.outcomes.sum(axis=0)
        completed, cancelled = int(outcomes[Outcome.COMPLETED]), int(outcomes[Outcome.CANCELLED])
        elapsed = max((now_ns - self.epoch_ns) / _SECOND_NS, 0.0)
        since_ns = np.uint64(max(now_ns - LIVE_SECONDS * _SECOND_NS, 0))
        recent = self._recent(since_ns)
        done = recent[recent["outcome"] == Outcome.COMPLETED]
        # Only whole seconds have a count that does not fall towards the end of the second.
        now = int(elapsed)
        first = max(now - LIVE_SECONDS, 0)
        gaps = self.seconds.counts(now - LIVE_SECONDS, now + 1)
        itl = self._quantiles(gaps) if ready else [None, None]
        ttft = _exact(metrics.ttft(done), (0.5, 0.99))
        events, coalesced = self.total(k.EVENTS), self.total(k.COALESCED)
        return LiveNumbers(
            completed=completed,
            failed=int(outcomes.sum()) - completed - cancelled,
            cancelled=cancelled,
            requests_per_s=sum(self._completed_in[second] for second in range(first, now)) / (now - first) if now > first else None,
            tokens_per_s=self.seconds.events_between(first, now) / (now - first) if ready and now > first else None,
            ttft_p50_ms=ttft[0],
            ttft_p99_ms=ttft[1],
            itl_p50_ms=itl[0],
            itl_p99_ms=itl[1],
            lateness_p99_ms=_exact(metrics.own_lateness(recent[recent["sent_ns"] != 0]), (0.99,))[0],
            coalesced_ratio=coalesced / events if events else None,
            errors=errors_by_kind(outcomes),
            recent=recent,
            recent_gaps=gaps,
        )

    def _bin_spill(self) -> None:
        spill, self._spill = self._spill, []
        for words in spill:
            self._bin(words)

    def _bin(self, words: U64Array) -> None:
        kernel = self._future.result().bin_tokens
        words = np.ascontiguousarray(words)
        start, end = (np.uint64(edge) for edge in self._window)
        done = 0
        while True:
            seconds = self.seconds
            done = kernel(
                words,
                done,
                start,
                end,
                self.table.gaps,
                self.table.moments,
                self.table.totals,
                seconds.events,
                seconds.slot_of_second,
                seconds.rows,
            )
            if done == len(words):
                break
            second = (int(words[done, 0]) & TIME_MASK) // _SECOND_NS
            if second < len(seconds.events) and seconds.slot_of_second[second] >= 0:
                raise ValueError(f"a token sample names an endpoint beyond the {self.endpoints} of this run")
            seconds.open(second)
        if self.phases is not None:
            self.phases.add(words, self._window, kernel)

    def _recent(self, since_ns: np.uint64) -> Records:
        """Return the newest records that ended at `since_ns` or later, from the newest chunks."""
        newest = [*self._chunks[-_QUANTILE_CHUNKS:-1], *(chunk[: self._filled] for chunk in self._chunks[-1:])]
        parts = [chunk[chunk["end_ns"] >= since_ns] for chunk in newest]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=RECORD_DTYPE)

    def _quantiles(self, counts: U64Array) -> list[float | None]:
        count = int(counts.sum())
        if count == 0:
            return [None, None]
        ranks = np.array([rank(count, 0.5), rank(count, 0.99)], dtype=np.uint64)
        buckets = np.zeros(2, dtype=np.int64)
        self._future.result().quantile_buckets(counts, ranks, buckets)
        return [float(self._coarse[bucket]) / _MS for bucket in buckets]


def errors_by_kind(outcomes: NDArray[np.int64]) -> dict[str, int]:
    """Return the failures among counts by outcome, under the names the result gives them."""
    kinds = (kind for kind in Outcome if kind not in (Outcome.COMPLETED, Outcome.CANCELLED))
    return {kind.name.lower(): int(outcomes[kind]) for kind in kinds if outcomes[kind]}


def _exact(values: NDArray[np.float64], qs: tuple[float, ...]) -> list[float | None]:
    """Return nearest-rank quantiles of ns values in ms; None = no values."""
    ordered = np.sort(metrics.present(values))
    return [float(ordered[rank(len(ordered), q) - 1]) / _MS if len(ordered) else None for q in qs]
