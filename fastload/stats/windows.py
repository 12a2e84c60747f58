"""The measured window of a run, and of a result merged of several: which requests lie in it, and how long it is.

In a merged result every worker was measured in the window of its own run, so a request belongs to the window of its worker.
Rates stand on the union of the windows: hosts that ran at once add up, runs one after the other average, and the time between
them counts for nothing. Pure. Invariant: of one run this is its one window.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import Bound, Flags, Records


def bounds(facts: RunFacts, records: Records) -> tuple[Bound, Bound]:
    """Return begin and end of the window each record is judged by: two numbers, or two columns in a merged result."""
    if not facts.sources:
        return facts.window_start_ns, facts.window_end_ns
    workers = [source.workers for source in facts.sources]
    starts, ends = (
        np.repeat(np.array([getattr(source, name) for source in facts.sources], dtype=np.uint64), workers)
        for name in ("window_start_ns", "window_end_ns")
    )
    return starts[records["worker"]], ends[records["worker"]]


def measured(facts: RunFacts, records: Records) -> Flags:
    """Select the latency population (`metrics.measured`)."""
    return metrics.measured(records, *bounds(facts, records))


def sent_inside(facts: RunFacts, records: Records) -> Flags:
    """Select the requests sent inside the measured window, however they ended."""
    return metrics.sent_inside(records, *bounds(facts, records))


def ended_inside(facts: RunFacts, records: Records) -> Flags:
    """Select the completed requests that ended inside the measured window: the population of throughput."""
    start, end = (np.asarray(bound, dtype=np.uint64) for bound in bounds(facts, records))
    ended = records["end_ns"]
    completed: Flags = records["outcome"] == Outcome.COMPLETED
    inside: Flags = (ended >= start) & (ended < end)
    return completed & inside


def window_s(facts: RunFacts) -> float:
    """Return the length of the measured window in seconds; 0 when the load stopped within the warm-up."""
    own = [(facts.window_start_ns, facts.window_end_ns)]
    return _length_ns([(source.window_start_ns, source.window_end_ns) for source in facts.sources] or own) / 1e9


def load_s(facts: RunFacts) -> float:
    """Return how long there was load, warm-up included."""
    own = [(facts.load_start_ns, facts.load_end_ns)]
    return _length_ns([(source.load_start_ns, source.load_end_ns) for source in facts.sources] or own) / 1e9


def total_s(facts: RunFacts) -> float:
    """Return the same with the drain."""
    own = [(facts.load_start_ns, facts.end_ns)]
    return _length_ns([(source.load_start_ns, source.end_ns) for source in facts.sources] or own) / 1e9


def segments(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of time spans as spans that do not touch, ascending; one that ends before it begins is none."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _length_ns(spans: Iterable[tuple[int, int]]) -> int:
    """Return how long at least one of the spans lasts."""
    return sum(end - start for start, end in segments(spans))
