"""Several runs into one: the facts and samples of hosts that loaded at once, or of runs one after the other, as if it had been one.

Counts are added, records put together, clocks laid over each other by the wall clock of each run's start; `summarise` then computes
what it computes of any run. Pure. Invariant: whatever the order and the grouping of the parts, the merged facts and samples are the
same to the last bit, because everything goes back to the single runs (`facts.sources`), sorted by their start.

The hosts' clocks must agree as well as NTP makes them: what is wrong there shifts one run's seconds against another's in the
timeline, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from fastload.plan.model import MAX_TARGETS, Plan
from fastload.samples.layout import RECORD_DTYPE
from fastload.stats.collected import Collected, Samples
from fastload.stats.facts import RunFacts, Source, UserSample, WorkerFacts
from fastload.stats.gap_table import add_tables
from fastload.stats.metrics import Records
from fastload.stats.seconds import add_seconds

_NS_PER_S: Final = 1_000_000_000
_STAMPS: Final = tuple(
    f"{name}_ns" for name in ("scheduled", "sent", "first_byte", "first_token", "first_answer", "last_token", "end")
)
_ID_DIGITS: Final = 12
"""As many as a run's own id has."""


@dataclass(frozen=True, slots=True)
class Part:
    """One result to be merged.

    Attributes:
        facts: of a run, or of a result that is merged itself.
        samples: its samples.
        reasons: why it is INVALID; empty = it is valid.
    """

    facts: RunFacts
    samples: Samples
    reasons: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return the runs it is made of."""
        return self.facts.sources or (_source(self.facts, self.reasons),)


def merge_runs(parts: Sequence[Part]) -> tuple[RunFacts, Collected]:
    """Return facts and samples of all parts together.

    Raises:
        ValueError: a run is in several parts, or there are more targets than a result can hold.
    """
    ordered = sorted(parts, key=lambda part: _by_start(part.sources[0]))
    shifts = _shifts(ordered)
    first = ordered[0].facts
    sources, workers, numbers = _workers(ordered, shifts)
    plan = _plan(ordered, sources)
    names = [target.name for target in plan.targets]
    samples = _samples(ordered, shifts, numbers, names)
    facts = RunFacts(
        run_id=hashlib.sha256(" ".join(sorted(source.run_id for source in sources)).encode()).hexdigest()[:_ID_DIGITS],
        version=first.version,
        started_at=first.started_at,
        plan=plan,
        host=first.host,
        epoch_ns=samples.epoch_ns,
        load_start_ns=min(source.load_start_ns for source in sources),
        window_start_ns=min(source.window_start_ns for source in sources),
        window_end_ns=max(source.window_end_ns for source in sources),
        load_end_ns=max(source.load_end_ns for source in sources),
        end_ns=max(source.end_ns for source in sources),
        workers=workers,
        supervisor_cpu_s=sum(source.supervisor_cpu_s for source in sources),
        supervisor_rss_peak_bytes=sum(source.supervisor_rss_peak_bytes for source in sources),
        # One unknown part makes the sum unknown, which is 0 here.
        supervisor_pss_bytes=sum(source.supervisor_pss_bytes for source in sources)
        if all(source.supervisor_pss_bytes for source in sources)
        else 0,
        user_samples=_user_samples(ordered, shifts),
        error_examples={key: text for part in reversed(ordered) for key, text in part.facts.error_examples.items()},
        interrupted=max(source.interrupted for source in sources),
        stop_reason=_said(sources, "stop_reason"),
        steady=_said(sources, "steady"),
        counted=sum(source.counted for source in sources),
        journals=tuple(journal for part in ordered for journal in part.facts.journals),
        sources=sources,
    )
    return facts, samples


def _source(facts: RunFacts, reasons: tuple[str, ...]) -> Source:
    return Source(
        run_id=facts.run_id,
        version=facts.version,
        started_at=facts.started_at,
        plan_hash=facts.plan.plan_hash,
        host=facts.host,
        endpoints=tuple(target.name for target in facts.plan.targets),
        workers=len(facts.workers),
        load_start_ns=facts.load_start_ns,
        window_start_ns=facts.window_start_ns,
        window_end_ns=facts.window_end_ns,
        load_end_ns=facts.load_end_ns,
        end_ns=facts.end_ns,
        supervisor_cpu_s=facts.supervisor_cpu_s,
        supervisor_rss_peak_bytes=facts.supervisor_rss_peak_bytes,
        supervisor_pss_bytes=facts.supervisor_pss_bytes,
        interrupted=facts.interrupted,
        stop_reason=facts.stop_reason,
        steady=facts.steady,
        counted=facts.counted,
        reasons=reasons,
    )


def _by_start(source: Source) -> tuple[datetime, str]:
    return source.started_at, source.run_id


def _shifts(parts: Sequence[Part]) -> list[int]:
    """Return what has to be added to each part's clock to make it that of the first part, whose load began first."""
    first = parts[0].facts
    later_ns = [(part.facts.started_at - first.started_at) // timedelta(microseconds=1) * 1000 for part in parts]
    return [first.load_start_ns + ns - part.facts.load_start_ns for ns, part in zip(later_ns, parts, strict=True)]


def _workers(
    parts: Sequence[Part], shifts: Sequence[int]
) -> tuple[tuple[Source, ...], tuple[WorkerFacts, ...], list[dict[int, int]]]:
    """Return the single runs by their start, their workers numbered anew, and for each part the new number of each old one."""
    found: list[tuple[Source, int, tuple[WorkerFacts, ...]]] = []
    for number, (part, shift) in enumerate(zip(parts, shifts, strict=True)):
        begin = 0
        for source in part.sources:
            found.append((_shifted(source, shift), number, part.facts.workers[begin : begin + source.workers]))
            begin += source.workers
    found.sort(key=lambda entry: _by_start(entry[0]))
    twice = [one[0].name for one, other in pairwise(found) if one[0].run_id == other[0].run_id]
    if twice:
        raise ValueError(f"{twice[0]} would be in it twice")
    numbers: list[dict[int, int]] = [{} for _ in parts]
    workers: list[WorkerFacts] = []
    for _, number, own in found:
        for worker in own:
            numbers[number][worker.index] = len(workers)
            workers.append(replace(worker, index=len(workers)))
    return tuple(source for source, _, _ in found), tuple(workers), numbers


def _shifted(source: Source, shift: int) -> Source:
    names = ("load_start_ns", "window_start_ns", "window_end_ns", "load_end_ns", "end_ns")
    moved = {name: getattr(source, name) + shift for name in names}
    return replace(source, **moved)


def _plan(parts: Sequence[Part], sources: Sequence[Source]) -> Plan:
    """Return the earliest run's plan, with the targets that only others had."""
    targets = {target.name: target for part in reversed(parts) for target in part.facts.plan.targets}
    names = list(dict.fromkeys(name for source in sources for name in source.endpoints))
    if len(names) > MAX_TARGETS:
        raise ValueError(f"they have {len(names)} targets together (at most {MAX_TARGETS} can be told apart)")
    return parts[0].facts.plan.model_copy(update={"targets": tuple(targets[name] for name in names)})


def _samples(parts: Sequence[Part], shifts: Sequence[int], numbers: Sequence[dict[int, int]], names: Sequence[str]) -> Collected:
    tables, rows = [], [np.zeros(0, dtype=RECORD_DTYPE)]
    for part, shift, renumbered in zip(parts, shifts, numbers, strict=True):
        own = [target.name for target in part.facts.plan.targets]
        tables.append(part.samples.table.rows([own.index(name) if name in own else None for name in names]))
        rows.append(_moved(part.samples.records(), shift, renumbered, [names.index(name) for name in own]))
    records: Records = np.concatenate(rows)
    # Each run's records in the order they came, whichever part they were in.
    records = records[np.argsort(records["worker"], kind="stable")]
    epoch_ns, later_s = _epoch(parts, shifts)
    seconds = add_seconds([(part.samples.seconds.packed(), later) for part, later in zip(parts, later_s, strict=True)])
    return Collected(epoch_ns, add_tables(tables), seconds, records)


def _moved(records: Records, shift: int, workers: dict[int, int], endpoints: Sequence[int]) -> Records:
    """Return records on the merged clock, with the workers' and endpoints' merged numbers."""
    moved: Records = records.copy()
    for name in _STAMPS:
        happened = moved[name] != 0
        moved[name][happened] = (moved[name][happened].astype(np.int64) + shift).astype(np.uint64)
    number_of = np.zeros(max(workers, default=0) + 1, dtype=np.uint16)
    number_of[list(workers)] = list(workers.values())
    moved["worker"] = number_of[records["worker"]]
    moved["endpoint"] = np.array(endpoints, dtype=np.uint8)[records["endpoint"]]
    return moved


def _epoch(parts: Sequence[Part], shifts: Sequence[int]) -> tuple[int, list[int]]:
    """Return zero of the merged seconds, and how many whole seconds later each part's own seconds begin.

    Parts with one epoch keep it. Else it is a whole second of the wall clock, to which each part's seconds are rounded: rounding to
    a grid that all merges share is what makes their grouping indifferent.
    """
    epochs = [part.samples.epoch_ns + shift for part, shift in zip(parts, shifts, strict=True)]
    if len(set(epochs)) == 1:
        return epochs[0], [0] * len(parts)
    first = parts[0].facts
    since_1970 = first.started_at - datetime.fromtimestamp(0, tz=first.started_at.tzinfo)
    to_wall_ns = since_1970 // timedelta(microseconds=1) * 1000 - first.load_start_ns
    begin_s = min((epoch + to_wall_ns) // _NS_PER_S for epoch in epochs)
    later = [(epoch + to_wall_ns + _NS_PER_S // 2) // _NS_PER_S - begin_s for epoch in epochs]
    return begin_s * _NS_PER_S - to_wall_ns, later


def _user_samples(parts: Sequence[Part], shifts: Sequence[int]) -> tuple[UserSample, ...]:
    """Return users and requests in flight of all parts together, whenever one of them changes; a part has none after its end."""
    series = []
    for part, shift in zip(parts, shifts, strict=True):
        levels = {sample.at_ns + shift: (sample.users, sample.in_flight) for sample in part.facts.user_samples}
        levels[part.facts.end_ns + shift] = (0, 0)
        at = np.array(sorted(levels), dtype=np.int64)
        series.append((at, np.array([(0, 0), *(levels[moment] for moment in at.tolist())], dtype=np.int64)))
    moments = np.unique(np.concatenate([at for at, _ in series]))
    total = np.zeros((len(moments), 2), dtype=np.int64)
    for at, levels_at in series:
        total += levels_at[np.searchsorted(at, moments, side="right")]
    rows = zip(moments.tolist(), total.tolist(), strict=True)
    return tuple(UserSample(at_ns, users, in_flight) for at_ns, (users, in_flight) in rows)


def _said(sources: Sequence[Source], what: str) -> str | None:
    """Return what the runs say of themselves, each with its name; None when none says anything."""
    said = [f"{source.name}: {text}" for source in sources if (text := getattr(source, what)) is not None]
    return "; ".join(said) or None
