"""The timeline: one row a second from the start of the load to the end of the drain.

Knows nothing of rings or files. Invariant: over all rows, started, completed and failed sum to the ledger of the run, and
output_tokens to its content events plus the tokens of unstreamed responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.blocks import NS_PER_MS
from fastload.stats.collected import Samples
from fastload.stats.facts import RunFacts
from fastload.stats.histogram import rank
from fastload.stats.metrics import Records
from fastload.stats.result import TimelineRow
from fastload.stats.seconds import coarse_midpoints

_SECOND_NS: Final = 1_000_000_000


def timeline(facts: RunFacts, collector: Samples, records: Records) -> list[TimelineRow]:
    """Return the rows; what happened outside of [epoch, end) counts in the nearest row, so that nothing is left out."""
    epoch_ns = collector.epoch_ns
    spoken = np.flatnonzero(collector.seconds.events)
    last_event = int(spoken[-1]) + 1 if len(spoken) else 0
    seconds = max(1, -(-(facts.end_ns - epoch_ns) // _SECOND_NS), last_event)

    def second_of(stamps: NDArray[np.uint64]) -> NDArray[np.int64]:
        relative = (stamps - np.uint64(epoch_ns)).view(np.int64)
        return np.clip(relative // _SECOND_NS, 0, seconds - 1)

    def count(chosen: Records, stamp: str, weights: NDArray[np.int64] | None = None) -> list[int]:
        rows = np.bincount(second_of(np.ascontiguousarray(chosen[stamp])), weights=weights, minlength=seconds)
        return [int(row) for row in rows]

    outcome = records["outcome"]
    completed = records[outcome == Outcome.COMPLETED]
    failed = records[(outcome != Outcome.COMPLETED) & (outcome != Outcome.CANCELLED)]
    left = np.where(records["sent_ns"] != 0, records["sent_ns"], records["scheduled_ns"])
    started = [int(row) for row in np.bincount(second_of(left), minlength=seconds)]
    whole = records[~metrics.streamed(records)]
    unstreamed = count(whole, "end_ns", metrics.output_tokens(whole))
    first_token = np.ascontiguousarray(completed["first_token_ns"])
    ttft = _by_second(second_of(first_token), metrics.ttft(completed), seconds)
    users = _levels(facts, epoch_ns, seconds)
    done, lost = count(completed, "end_ns"), count(failed, "end_ns")
    coarse = coarse_midpoints()
    rows = []
    for second in range(seconds):
        itl = _histogram_pair(collector.seconds.counts(second, second + 1), coarse)
        rows.append(
            TimelineRow(
                t_s=second,
                users=users[second][0],
                in_flight=users[second][1],
                started=started[second],
                completed=done[second],
                failed=lost[second],
                output_tokens=collector.seconds.events_between(second, second + 1) + unstreamed[second],
                ttft_p50=ttft[second][0],
                ttft_p99=ttft[second][1],
                itl_p50=itl[0],
                itl_p99=itl[1],
            )
        )
    return rows


Pair = tuple[float | None, float | None]


def _by_second(second: NDArray[np.int64], values: metrics.Values, seconds: int) -> Sequence[Pair]:
    """Return p50 and p99 (ms) of the values of each second."""
    exists = ~np.isnan(values)
    second, values = second[exists], values[exists]
    order = np.lexsort((values, second))
    values = values[order]
    ends = np.searchsorted(second[order], np.arange(seconds + 1), side="left")
    pairs: list[Pair] = []
    for begin, end in pairwise(ends.tolist()):
        n = end - begin
        pick = [float(values[begin + rank(n, q) - 1]) / NS_PER_MS if n else None for q in (0.5, 0.99)]
        pairs.append((pick[0], pick[1]))
    return pairs


def _histogram_pair(counts: NDArray[np.uint64], middles: NDArray[np.float64]) -> Pair:
    cumulated = np.cumsum(counts)
    n = int(cumulated[-1])
    if n == 0:
        return None, None
    pick = [float(middles[np.searchsorted(cumulated, np.uint64(rank(n, q)))]) / NS_PER_MS for q in (0.5, 0.99)]
    return pick[0], pick[1]


def _levels(facts: RunFacts, epoch_ns: int, seconds: int) -> list[tuple[int | None, int | None]]:
    """Return users and requests in flight at the end of each second: the last sample before it, None before the first."""
    rows: list[tuple[int | None, int | None]] = []
    samples = sorted(facts.user_samples, key=lambda sample: sample.at_ns)
    taken, level = 0, (None, None)  # type: tuple[int, tuple[int | None, int | None]]
    for second in range(seconds):
        end_ns = epoch_ns + (second + 1) * _SECOND_NS
        while taken < len(samples) and samples[taken].at_ns < end_ns:
            level = (samples[taken].users, samples[taken].in_flight)
            taken += 1
        rows.append(level)
    return rows
