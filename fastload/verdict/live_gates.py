"""How the plan's gates stand by the last few seconds: for whoever watches, never for a verdict.

Knows what the collector shows at one moment. Pure. Invariant: a gate without data neither holds nor is missed; what is said here
changes no result, for that is judged over the whole measured window (`fastload.verdict.gates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from fastload.samples.layout import RECORD_SHORTENED, Outcome
from fastload.stats import metrics
from fastload.stats.collector import LiveNumbers
from fastload.stats.facts import GateFrame
from fastload.stats.histogram import Counts, rank
from fastload.stats.metrics import METRICS, Values
from fastload.stats.seconds import coarse_midpoints
from fastload.verdict.gates import ERRORS, Gate

_QUANTILES: Final = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_REDUCE: Final[Mapping[str, Callable[[Values], np.float64]]] = {"mean": np.mean, "min": np.min, "max": np.max}
_MS: Final = 1e6


def live_gates(gates: Iterable[Gate], numbers: LiveNumbers) -> tuple[GateFrame, ...]:
    """Return how each gate stands at the moment of `numbers`."""
    made = []
    for gate in gates:
        value = _value(gate, numbers)
        shown = None if value is None else value / gate.scale
        made.append(GateFrame(gate.text, shown, gate.unit, None if value is None else gate.holds(value)))
    return tuple(made)


def _value(gate: Gate, numbers: LiveNumbers) -> float | None:
    """Return what a gate's subject comes to now, in the unit of its limit; None = no data, or no such thing before the end."""
    if gate.subject == ERRORS:
        ended = metrics.final(numbers.recent)
        ended = ended[ended["outcome"] != Outcome.CANCELLED]
        return float(np.mean(ended["outcome"] != Outcome.COMPLETED)) if len(ended) else None
    if gate.subject == "requests_per_s":
        return numbers.requests_per_s
    if gate.subject == "output_tokens_per_s":
        return numbers.tokens_per_s
    if gate.stat is None or gate.subject not in METRICS:
        return None
    formula = METRICS[gate.subject].values
    if formula is None:
        return _of_gaps(numbers.recent_gaps, gate.stat)
    recent = numbers.recent
    counted = (recent["outcome"] == Outcome.COMPLETED) & ((recent["flags"] & RECORD_SHORTENED) == 0)
    values = metrics.present(formula(recent[counted]))
    if not len(values):
        return None
    if gate.stat in _REDUCE:
        return float(_REDUCE[gate.stat](values)) / _MS
    at = rank(len(values), _QUANTILES[gate.stat]) - 1
    return float(np.partition(values, at)[at]) / _MS


def _of_gaps(counts: Counts, stat: str) -> float | None:
    filled = np.flatnonzero(counts)
    if not len(filled):
        return None
    values, numbers = coarse_midpoints()[filled], counts[filled]
    if stat == "mean":
        return float(np.average(values, weights=numbers)) / _MS
    if stat in _REDUCE:
        return float(_REDUCE[stat](values)) / _MS
    cumulated = numbers.cumsum()
    return float(values[cumulated.searchsorted(rank(int(cumulated[-1]), _QUANTILES[stat]))]) / _MS
