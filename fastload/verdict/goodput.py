"""Goodput: the requests per second that met every SLO.

A request has one TTFT, not a p99 of it, so the limit of a latency gate is applied to the request's own value whatever the
gate's statistic. A request has many gaps; its `itl` is their mean, (last - first content event) / (events - 1), as in vLLM's
goodput. Gates on errors and rates, and gates with > or >=, say nothing about one request and are left out.

Pure. Invariant: a request without the value a gate needs did not meet it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastload.stats import metrics
from fastload.stats.blocks import NS_PER_MS
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import METRICS, Records
from fastload.stats.windows import ended_inside, window_s
from fastload.verdict.gates import Gate


def goodput_per_s(gates: Sequence[Gate], facts: RunFacts, records: Records) -> float | None:
    """Return good requests per second; None where `good_records` has none to tell."""
    found = good_records(gates, facts, records)
    return None if found is None else len(found) / window_s(facts)


def good_output_tokens_per_s(gates: Sequence[Gate], facts: RunFacts, records: Records) -> float | None:
    """Return output tokens of good requests per second; None where `good_records` has none to tell."""
    found = good_records(gates, facts, records)
    return None if found is None else int(metrics.output_tokens(found).sum()) / window_s(facts)


def good_records(gates: Sequence[Gate], facts: RunFacts, records: Records) -> Records | None:
    """Return the completed requests that ended inside the measured window and met every gate.

    None without a gate that applies to a single request, or without a measured window.
    """
    applicable = [gate for gate in gates if gate.stat is not None and gate.operator in ("<", "<=")]
    if not applicable or window_s(facts) == 0:
        return None
    chosen = records[ended_inside(facts, records)]
    good = np.ones(len(chosen), dtype=np.bool_)
    for gate in applicable:
        values_ms = _values(gate.subject, chosen) / NS_PER_MS
        # NaN compares false: no value, not met. A reused connection is the exception: it had no set-up to be slow.
        met = values_ms < gate.limit if gate.operator == "<" else values_ms <= gate.limit
        good &= met | np.isnan(values_ms) if gate.subject == "connect" else met
    return chosen[good]


def _values(name: str, records: Records) -> metrics.Values:
    formula = METRICS[name].values
    return _mean_gap(records) if formula is None else formula(records)


def _mean_gap(records: Records) -> metrics.Values:
    events = records["events"].astype(np.float64)
    span = (records["last_token_ns"] - records["first_token_ns"]).view(np.int64).astype(np.float64)
    return np.where(metrics.streamed(records) & (events >= 2), span / np.maximum(events - 1, 1), np.nan)
