"""What the subject of a gate came to in a run: computed from its records and histograms, for the part of the run the gate is about.

A gate about the whole run says what the summary says, by the same formulas. One about an endpoint takes that target's requests, one
about a stage those sent while it lasted, inside the measured window. Pure. Invariant: no data is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.plan.phases import phases_of
from fastload.samples.layout import Outcome
from fastload.stats import metrics, windows
from fastload.stats.collected import Samples
from fastload.stats.facts import RunFacts
from fastload.stats.histogram import Counts, Moments, empty_counts
from fastload.stats.metrics import METRICS, Flags, Records
from fastload.stats.result import Endpoint, Latency, Summary
from fastload.verdict.gates import ERRORS, GOODPUT, GOODPUTS, LATENESS, MISSED, STABILITY, Gate
from fastload.verdict.goodput import good_share, limits, meets, unjudged
from fastload.verdict.statistic import Statistic

PER_TOKEN: Final = ("itl", "output_tokens_per_s")
"""Subjects that stand on every token, not on the request records."""
ERROR_WEIGHT: Final = 1.5
SPREAD_WEIGHT: Final = 0.5
"""Of the stability score, as llm-stress-tests defines it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a subject came to: the value in the gate's base unit, None = no data, and how many samples it stands on."""

    value: float | None
    n: int


class Evidence:
    """A run, as gates look at it.

    Args:
        facts: the run.
        collector: its samples; finished, or as they were stored.
        summary: what `summarise` made of them.
        gates: the gates of the plan, which say what a good request is.
    """

    def __init__(self, facts: RunFacts, collector: Samples, summary: Summary, gates: list[Gate]) -> None:
        self.facts = facts
        self.summary = summary
        self._collector = collector
        self._limits = limits(gates)
        self._records = metrics.final(collector.records())
        self._indices = {target.name: index for index, target in enumerate(facts.plan.targets)}
        self._phases = {phase.number: phase for phase in phases_of(facts.plan)}

    def measure(self, gate: Gate) -> Measured:
        """Return what the subject of `gate` came to; the gate must be one of `fastload.verdict.scopes`."""
        part = _Part(self, gate)
        if gate.statistic is not None:
            return part.latency(gate.subject, gate.statistic)
        match gate.subject:
            case str() as subject if subject == ERRORS:
                return part.errors(gate.stat)
            case str() as subject if subject == GOODPUT:
                return Measured(*good_share(self._limits, self.facts, part.sent()))
            case str() as subject if subject == MISSED:
                return self._missed(as_share=gate.unit == "%")
            case str() as subject if subject == STABILITY:
                return part.stability()
            case _:
                return part.rate(gate.subject)

    def why_no_data(self, gate: Gate) -> str:
        """Return the most likely reason that the subject of a gate has no value."""
        whole, part = self.summary, _Part(self, gate)
        if whole.run.duration_s == 0:
            return "the load stopped before the measured window began; shorten --warmup"
        if gate.phase is not None and part.length_s == 0:
            return f"nothing was measured of stage {gate.phase}: the load had ended, or its steady part did"
        scope: Endpoint | Summary = whole if gate.endpoint is None else whole.endpoints[gate.endpoint]
        if scope.requests.completed == 0:
            return "no request completed"
        if gate.subject == "connect":
            return "every connection was made before the measured window"
        if gate.phase is not None and gate.subject in PER_TOKEN and self._collector.phases is None:
            return "tokens are not told apart by stage in a result that was merged of several"
        if len(part.measured()) == 0:
            where = "the measured window" if gate.phase is None else f"stage {gate.phase}"
            return f"no completed request was sent inside {where}; run longer"
        if gate.subject in GOODPUTS:
            limit = unjudged(self._limits, self.facts, part.sent())
            if limit is not None:
                return f"no request has what '{limit.name}' limits: {_without_tokens(limit.subject, scope.latency_ms)}"
        return _without_tokens(gate.subject, scope.latency_ms)

    def _missed(self, *, as_share: bool) -> Measured:
        """Return arrivals that found no place: their number, or of all arrivals."""
        missed = sum(worker.missed for worker in self.facts.workers)
        arrived = missed + self.summary.requests.started
        if not as_share:
            return Measured(float(missed), arrived)
        return Measured(missed / arrived if arrived else None, arrived)


class _Part:
    """The part of a run that a gate is about."""

    def __init__(self, evidence: Evidence, gate: Gate) -> None:
        facts = evidence.facts
        self._run = evidence
        self._gate = gate
        self._endpoint = None if gate.endpoint is None else evidence._indices[gate.endpoint]
        part = None if gate.phase is None else evidence._phases[gate.phase].span_ns
        self.length_s = windows.window_s(facts, part)
        records = evidence._records
        self._records: Records = records if self._endpoint is None else records[records["endpoint"] == self._endpoint]
        self._start_ns, self._end_ns = windows.measured_part(facts, self._records, part)

    def measured(self) -> Records:
        """Return the latency population."""
        return self._records[metrics.measured(self._records, self._start_ns, self._end_ns)]

    def sent(self) -> Records:
        """Return the requests sent in this part, however they ended; one that was never sent counts from when it was to be."""
        return self._records[self._left_inside()]

    def latency(self, name: str, statistic: Statistic) -> Measured:
        """Return a statistic of a latency, or of lateness."""
        if name == "itl":
            counts, moments = self._gaps()
            return Measured(statistic.of_histogram(counts, moments), 0 if moments is None else moments.count)
        late = name == LATENESS
        formula = metrics.lateness if late else METRICS[name].values
        assert formula is not None
        chosen = self._records[metrics.sent_inside(self._records, self._start_ns, self._end_ns)] if late else self.measured()
        values = metrics.present(formula(chosen))
        return Measured(statistic.of(values), len(values))

    def errors(self, kind: str | None) -> Measured:
        """Return the failed of those that ended by themselves; of the whole run, unless the gate is about a stage."""
        records = self._records if self._gate.phase is None else self.sent()
        outcome = records["outcome"]
        counted = int(np.count_nonzero(outcome != Outcome.CANCELLED))
        if kind is None:
            failed = counted - int(np.count_nonzero(outcome == Outcome.COMPLETED))
        else:
            failed = int(np.count_nonzero(outcome == Outcome[kind.upper()]))
        return Measured(failed / counted if counted else None, counted)

    def stability(self) -> Measured:
        """Return max(0, 1 - (1.5 * share of failures + 0.5 * stdev / mean of e2e))."""
        errors, spread = self.errors(None), self.latency("e2e", Statistic("cv"))
        if errors.value is None or spread.value is None:
            return Measured(None, spread.n)
        return Measured(max(0.0, 1.0 - (ERROR_WEIGHT * errors.value + SPREAD_WEIGHT * spread.value)), spread.n)

    def rate(self, name: str) -> Measured:
        """Return a rate over this part."""
        ended = self._records[self._ended_inside()]
        if self.length_s == 0:
            return Measured(None, 0)
        if name == "goodput_per_s":
            good = meets(self._run._limits, self._run.facts, ended)
            return Measured(None if good is None else int(np.count_nonzero(good)) / self.length_s, len(ended))
        if self._gate.phase is None:
            summary = self._run.summary
            scope: Endpoint | Summary = summary if self._gate.endpoint is None else summary.endpoints[self._gate.endpoint]
            return Measured(getattr(scope.throughput, name), len(ended))
        return Measured(self._rate_in_stage(name, ended), len(ended))

    def _rate_in_stage(self, name: str, ended: Records) -> float | None:
        """Return a rate over a stage, by the definitions of `fastload.stats.summary`."""
        if name == "requests_per_s":
            return len(ended) / self.length_s
        if name == "input_tokens_per_s":
            known = ended["input_tokens"][ended["input_tokens"] >= 0]
            return int(known.sum(dtype=np.int64)) / self.length_s if len(known) else None
        if metrics.output_uncounted(self._records[self._records["outcome"] == Outcome.COMPLETED]):
            return None
        streamed, tokens = metrics.streamed(self._records), metrics.output_tokens(self._records)
        streams = streamed & (self._records["outcome"] == Outcome.COMPLETED)
        events = int(self._records["events"][streams].sum(dtype=np.int64))
        each = int(tokens[streams].sum()) / events if events else 1.0
        whole = int(tokens[self._ended_inside() & ~streamed].sum())
        phases, phase = self._run._collector.phases, self._gate.phase
        assert phase is not None
        if phases is None:
            return None
        return (phases.events(phase - 1, self._endpoint) * each + whole) / self.length_s

    def _gaps(self) -> tuple[Counts, Moments | None]:
        if self._gate.phase is None:
            return self._run._collector.gaps(self._endpoint)
        phases = self._run._collector.phases
        if phases is None:
            return empty_counts(), None
        return phases.gaps(self._gate.phase - 1, self._endpoint)

    def _left_inside(self) -> Flags:
        left = np.where(self._records["sent_ns"] != 0, self._records["sent_ns"], self._records["scheduled_ns"])
        return self._holds(left)

    def _ended_inside(self) -> Flags:
        completed: Flags = self._records["outcome"] == Outcome.COMPLETED
        return completed & self._holds(self._records["end_ns"])

    def _holds(self, moments_ns: NDArray[np.uint64]) -> Flags:
        """Select the moments that lie in this part, each by the clock of its record's run."""
        start_ns, end_ns = (np.asarray(bound, dtype=np.uint64) for bound in (self._start_ns, self._end_ns))
        inside: Flags = (moments_ns >= start_ns) & (moments_ns < end_ns)
        return inside


def _without_tokens(subject: str, latency: Latency) -> str:
    if subject in ("ttft", "ttft_scheduled", "ttfa", "itl", "tpot", "stall") and latency.ttft is None:
        return "the responses were not streamed, so tokens have no times"
    if subject in ("itl", "tpot", "stall"):
        return "no response had two content events with a known gap"
    return "the server gave nothing to compute it from"
