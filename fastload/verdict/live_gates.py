"""How the plan's gates stand by the last few seconds: for whoever watches, never for a verdict.

Knows what the collector shows at one moment. Pure. Invariant: a gate without data neither holds nor is missed; what is said here
changes no result, for that is judged over the whole measured window (`fastload.verdict.gates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from fastload.samples.layout import RECORD_SHORTENED, Outcome
from fastload.stats import metrics
from fastload.stats.collector import LiveNumbers
from fastload.stats.facts import GateFrame
from fastload.stats.histogram import Counts, rank
from fastload.stats.metrics import METRICS, Records
from fastload.stats.seconds import coarse_midpoints
from fastload.verdict.gates import ERRORS, LATENESS, Gate
from fastload.verdict.statistic import SPREADS, Statistic

_MS: Final = 1e6


def live_gates(gates: Iterable[Gate], numbers: LiveNumbers, endpoints: Sequence[str]) -> tuple[GateFrame, ...]:
    """Return how each gate stands at the moment of `numbers`; `endpoints` are the targets' names in the order of the records."""
    made = []
    for gate in gates:
        value = _value(gate, numbers, endpoints)
        shown = None if value is None else value / gate.scale
        text = f"{gate.name}{gate.shown_limit.replace(' ', '')}"
        made.append(GateFrame(text, shown, gate.unit, None if value is None else gate.holds(value)))
    return tuple(made)


def _value(gate: Gate, numbers: LiveNumbers, endpoints: Sequence[str]) -> float | None:
    """Return what a gate's subject comes to now, in the unit of its limit; None = no data, or no such thing before the end."""
    if gate.phase is not None:
        return None  # a stage is judged as a whole
    recent = numbers.recent
    if gate.endpoint is not None:
        recent = recent[recent["endpoint"] == endpoints.index(gate.endpoint)]
    if gate.subject == ERRORS:
        return _errors(recent, gate.stat)
    if gate.statistic is not None:
        return _latency(gate.subject, gate.statistic, recent, numbers.recent_gaps if gate.endpoint is None else None)
    if gate.endpoint is not None:
        return None
    return {"requests_per_s": numbers.requests_per_s, "output_tokens_per_s": numbers.tokens_per_s}.get(gate.subject)


def _errors(recent: Records, kind: str | None) -> float | None:
    ended = metrics.final(recent)
    outcome = ended["outcome"][ended["outcome"] != Outcome.CANCELLED]
    if not len(outcome):
        return None
    return float(np.mean(outcome != Outcome.COMPLETED if kind is None else outcome == Outcome[kind.upper()]))


def _latency(name: str, statistic: Statistic, recent: Records, gaps: Counts | None) -> float | None:
    formula = metrics.lateness if name == LATENESS else METRICS[name].values
    if formula is None:
        return None if gaps is None else _of_gaps(gaps, statistic)
    counted = (recent["outcome"] == Outcome.COMPLETED) & ((recent["flags"] & RECORD_SHORTENED) == 0)
    return statistic.of(metrics.present(formula(recent[counted])))


def _of_gaps(counts: Counts, statistic: Statistic) -> float | None:
    """Return a statistic of coarse counts, within 0.8 %; those of spread are left to the end."""
    filled = np.flatnonzero(counts)
    if not len(filled) or statistic.name in SPREADS:
        return None
    values, numbers = coarse_midpoints()[filled], counts[filled]
    if statistic.q is not None:
        cumulated = numbers.cumsum()
        return float(values[cumulated.searchsorted(rank(int(cumulated[-1]), statistic.q))]) / _MS
    plain = {"mean": np.average(values, weights=numbers), "min": values[0], "max": values[-1]}
    return float(plain[statistic.name]) / _MS
