"""Goodput: the requests that met every SLO, per second or as a share.

A request has one TTFT, not a p99 of it, so the limit of a latency gate is applied to the request's own value whatever the
gate's statistic. A request has many gaps; its `itl` is their mean, (last - first content event) / (events - 1), as in vLLM's
goodput. Gates on spreads, errors and rates, and gates with > or >=, say nothing about one request and are left out. A gate about an
endpoint or a stage is for the requests of that target or sent in that stage; the others have nothing to meet there.

Pure. Invariant: a request without the value a gate needs did not meet it; where none has it goodput is unknown, not 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fastload.plan.phases import phases_of
from fastload.samples.layout import RECORD_SHORTENED, Outcome
from fastload.stats import metrics
from fastload.stats.blocks import NS_PER_MS
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import METRICS, Flags, Records
from fastload.stats.windows import ended_inside, part_bounds, window_s
from fastload.verdict.gates import Gate


def limits(gates: Iterable[Gate]) -> list[Gate]:
    """Return the gates that set a single request a limit."""
    return [gate for gate in gates if gate.of_a_request]


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
    chosen = records[ended_inside(facts, records)]
    good = meets(limits(gates), facts, chosen)
    return None if good is None or window_s(facts) == 0 else chosen[good]


def good_share(gates: Sequence[Gate], facts: RunFacts, sent: Records) -> tuple[float | None, int]:
    """Return the share of these requests that met every gate, and of how many it is.

    One that failed met nothing. One that the client gave up on, or that came shorter than asked for, is no evidence of either.
    """
    outcome = sent["outcome"]
    shortened = (sent["flags"] & RECORD_SHORTENED) != 0
    counted = sent[(outcome != Outcome.CANCELLED) & ~((outcome == Outcome.COMPLETED) & shortened)]
    good = meets(limits(gates), facts, counted)
    if good is None or len(counted) == 0:
        return None, len(counted)
    return int(np.count_nonzero(good & (counted["outcome"] == Outcome.COMPLETED))) / len(counted), len(counted)


def meets(gates: Sequence[Gate], facts: RunFacts, records: Records) -> Flags | None:
    """Select the requests that met every gate of a request; None without such a gate, or where one cannot be judged."""
    if not gates or unjudged(gates, facts, records) is not None:
        return None
    good: Flags = np.ones(len(records), dtype=np.bool_)
    for gate in gates:
        values_ms = _values(gate.subject, records) / NS_PER_MS
        # NaN compares false: no value, not met. A reused connection is the exception: it had no set-up to be slow.
        met = values_ms < gate.limit if gate.operator == "<" else values_ms <= gate.limit
        if gate.subject == "connect":
            met |= np.isnan(values_ms)
        good &= met | ~_in_scope(gate, facts, records)
    return good


def unjudged(gates: Iterable[Gate], facts: RunFacts, records: Records) -> Gate | None:
    """Return the first gate on what none of the completed requests it is about has, as a TTFT where nothing was streamed."""
    completed = records["outcome"] == Outcome.COMPLETED
    for gate in gates:
        values = _values(gate.subject, records[completed & _in_scope(gate, facts, records)])
        if gate.subject != "connect" and len(values) and bool(np.isnan(values).all()):
            return gate
    return None


def _in_scope(gate: Gate, facts: RunFacts, records: Records) -> Flags:
    """Select the requests that a gate is about."""
    scope: Flags = np.ones(len(records), dtype=np.bool_)
    if gate.endpoint is not None:
        names = [target.name for target in facts.plan.targets]
        scope &= records["endpoint"] == names.index(gate.endpoint)
    if gate.phase is not None:
        scope &= metrics.sent_inside(records, *part_bounds(facts, records, phases_of(facts.plan)[gate.phase - 1].span_ns))
    return scope


def _values(name: str, records: Records) -> metrics.Values:
    formula = METRICS[name].values
    return _mean_gap(records) if formula is None else formula(records)


def _mean_gap(records: Records) -> metrics.Values:
    events = records["events"].astype(np.float64)
    span = (records["last_token_ns"] - records["first_token_ns"]).view(np.int64).astype(np.float64)
    return np.where(metrics.streamed(records) & (events >= 2), span / np.maximum(events - 1, 1), np.nan)
