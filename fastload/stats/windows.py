"""The measured window of a run, and of a result merged of several: which requests lie in it, and how long it is.

In a merged result every worker was measured in the window of its own run, so a request belongs to the window of its worker.
Rates stand on the union of the windows: hosts that ran at once add up, runs one after the other average, and the time between
them counts for nothing. Pure. Invariant: of one run this is its one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.facts import RunFacts, Source
from fastload.stats.metrics import Bound, Flags, Records

Part = tuple[int, int]
"""Begin and end of a part of the load (a stage), ns since the load's start."""


def bounds(facts: RunFacts, records: Records) -> tuple[Bound, Bound]:
    """Return begin and end of the window each record is judged by: two numbers, or two columns in a merged result."""
    return _of_each(facts, records, _windows(facts, None))


def part_bounds(facts: RunFacts, records: Records, part: Part) -> tuple[Bound, Bound]:
    """Return begin and end of a part of the load, for each record that of its own run, measured or not."""
    starts = [source.load_start_ns for source in facts.sources] or [facts.load_start_ns]
    return _of_each(facts, records, [(start + part[0], start + part[1]) for start in starts])


def measured_part(facts: RunFacts, records: Records, part: Part | None) -> tuple[Bound, Bound]:
    """Return `bounds`, narrowed to a part of the load where one is given; empty where nothing of it was measured."""
    return _of_each(facts, records, _windows(facts, part))


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


def ended_in_own(records: Records, sources: Sequence[Source]) -> Flags:
    """Select the requests of a merged result that ended inside the measured window of their own run, completed or not."""
    start, end = _of_workers(records, sources, [(source.window_start_ns, source.window_end_ns) for source in sources])
    inside: Flags = (records["end_ns"] >= start) & (records["end_ns"] < end)
    return inside


def window_s(facts: RunFacts, part: Part | None = None) -> float:
    """Return the length of the measured window, or of what was measured of a part of the load, in seconds; 0 = nothing was."""
    return _length_ns(_windows(facts, part)) / 1e9


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


def _windows(facts: RunFacts, part: Part | None) -> list[tuple[int, int]]:
    """Return the measured window of each run, narrowed to a part of its load where one is given."""
    own = [(facts.load_start_ns, facts.window_start_ns, facts.window_end_ns)]
    runs = [(source.load_start_ns, source.window_start_ns, source.window_end_ns) for source in facts.sources] or own
    if part is None:
        return [(start, end) for _, start, end in runs]
    narrowed = [(max(load + part[0], start), min(load + part[1], end)) for load, start, end in runs]
    return [(start, max(start, end)) for start, end in narrowed]


def _of_each(facts: RunFacts, records: Records, spans: list[tuple[int, int]]) -> tuple[Bound, Bound]:
    """Return the span of each record's run: two numbers, or two columns in a merged result."""
    if not facts.sources:
        return spans[0]
    return _of_workers(records, facts.sources, spans)


def _of_workers(records: Records, sources: Sequence[Source], spans: list[tuple[int, int]]) -> tuple[Bound, Bound]:
    """Return the span of each record's run as two columns, by the worker it is of."""
    workers = [source.workers for source in sources]
    starts, ends = (np.repeat(np.array(column, dtype=np.uint64), workers) for column in zip(*spans, strict=True))
    return starts[records["worker"]], ends[records["worker"]]


def _length_ns(spans: Iterable[tuple[int, int]]) -> int:
    """Return how long at least one of the spans lasts."""
    return sum(end - start for start, end in segments(spans))
