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
from fastload.stats.facts import EndpointFrame, GateFrame
from fastload.stats.histogram import Counts, rank
from fastload.stats.metrics import METRICS, Records
from fastload.stats.seconds import coarse_midpoints
from fastload.verdict.gates import ERRORS, LATENESS, Gate
from fastload.verdict.statistic import SPREADS, Statistic

_MS: Final = 1e6


def live_gates(
    gates: Iterable[Gate],
    numbers: LiveNumbers,
    endpoints: Sequence[str],
    each: Sequence[EndpointFrame] = (),
    gaps: Sequence[Counts] = (),
) -> tuple[GateFrame, ...]:
    """Return how each gate stands at the moment of `numbers`.

    Args:
        gates: what is to hold.
        numbers: of all servers together.
        endpoints: the targets' names in the order of the records.
        each: the numbers of each of several servers, in that order.
        gaps: coarse histogram of the last seconds' gaps of each of them.
    """
    made = []
    for gate in gates:
        value = _value(gate, numbers, endpoints, each, gaps)
        shown = None if value is None else value / gate.scale
        text = f"{gate.name}{gate.shown_limit.replace(' ', '')}"
        made.append(GateFrame(text, shown, gate.unit, None if value is None else gate.holds(value)))
    return tuple(made)


def _value(
    gate: Gate, numbers: LiveNumbers, endpoints: Sequence[str], each: Sequence[EndpointFrame], gaps: Sequence[Counts]
) -> float | None:
    """Return what a gate's subject comes to now, in the unit of its limit; None = no data, or no such thing before the end."""
    if gate.phase is not None:
        return None  # a stage is judged as a whole
    recent, recent_gaps, shown = numbers.recent, numbers.recent_gaps, (numbers.requests_per_s, numbers.tokens_per_s)
    if gate.endpoint is not None:
        place = endpoints.index(gate.endpoint)
        recent = recent[recent["endpoint"] == place]
        recent_gaps = gaps[place] if gaps else np.zeros(0, dtype=np.uint64)
        shown = (each[place].requests_per_s, each[place].tokens_per_s) if each else (None, None)
    if gate.subject == ERRORS:
        return _errors(recent, gate.stat)
    if gate.statistic is not None:
        return _latency(gate.subject, gate.statistic, recent, recent_gaps)
    return dict(zip(("requests_per_s", "output_tokens_per_s"), shown, strict=True)).get(gate.subject)


def _errors(recent: Records, kind: str | None) -> float | None:
    ended = metrics.final(recent)
    outcome = ended["outcome"][ended["outcome"] != Outcome.CANCELLED]
    if not len(outcome):
        return None
    return float(np.mean(outcome != Outcome.COMPLETED if kind is None else outcome == Outcome[kind.upper()]))


def _latency(name: str, statistic: Statistic, recent: Records, gaps: Counts) -> float | None:
    formula = metrics.lateness if name == LATENESS else METRICS[name].values
    if formula is None:
        return _of_gaps(gaps, statistic)
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
