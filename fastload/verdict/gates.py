"""The grammar of gates (`--slo 'ttft.p99<800ms'`), and what a summary says about them.

    gate    = subject operator number unit
    subject = latency "." stat          latency: a name of `METRICS`; stat: mean p50 p75 p90 p95 p99 p999 (or p99.9) max min
            | "errors"                  unit %: failed / (started - cancelled), whole run
            | "requests_per_s" | "output_tokens_per_s" | "input_tokens_per_s"            no unit
    operator = "<" | "<=" | ">" | ">="  latency unit: us ms s

Knows nothing of files and colours. Invariant: a gate that parsed can be evaluated on every summary; no data fails it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fastload.errors import FastloadError
from fastload.stats.metrics import METRICS
from fastload.stats.result import CheckResult, Quantiles, Summary
from fastload.verdict.plugged import own_gates

STATS: Final = ("mean", "min", "p50", "p75", "p90", "p95", "p99", "p999", "max")
RATES: Final = ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s")
ERRORS: Final = "errors"

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MS_OF_UNIT: Final[Mapping[str, float]] = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_GATE: Final = re.compile(
    r"\s*(?P<subject>[a-z0-9_]+)(?:\.(?P<stat>[a-z0-9.]+))?\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-zµ%/]*)\s*",
    re.IGNORECASE,
)
_EXAMPLE: Final = "write it as ttft.p99<800ms, errors<1% or requests_per_s>50"


@dataclass(frozen=True, slots=True)
class Gate:
    """One parsed gate.

    Attributes:
        text: as the user wrote it, without spaces.
        subject: a latency metric, `errors` or a rate.
        stat: of a latency metric; None otherwise.
        operator: one of < <= > >=.
        limit: in ms, as a ratio (errors), or per second.
        unit: as written.
        scale: a value in the gate's own unit = value / scale.
    """

    text: str
    subject: str
    stat: str | None
    operator: str
    limit: float
    unit: str
    scale: float

    def holds(self, value: float) -> bool:
        """Tell whether `value` (in the unit of `limit`) meets the gate."""
        return _COMPARE[self.operator](value, self.limit)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate's subject came to: the value in the gate's base unit, None = no data, and the samples behind it."""

    value: float | None
    n: int
    exact: bool = True


def parse_gate(text: str) -> Gate:
    """Return the gate `text` says.

    Raises:
        FastloadError: bad syntax, an unknown metric or stat, or a unit that does not fit (exit code 2).
    """
    match = _GATE.fullmatch(text)
    if match is None:
        raise FastloadError(f"the SLO {text!r} is not a comparison", hint=_EXAMPLE)
    subject, unit, number = match["subject"].lower(), match["unit"].lower(), float(match["number"])
    tidy = "".join(text.split())
    if subject in METRICS:
        stat = _stat(text, match["stat"])
        if unit not in _MS_OF_UNIT:
            given = f"the unit {unit!r}" if unit else "no unit"
            raise FastloadError(f"the SLO {text!r} has {given}", hint="latency takes us, ms or s")
        scale = _MS_OF_UNIT[unit]
        return Gate(tidy, subject, stat, match["op"], number * scale, unit, scale)
    if subject not in (ERRORS, *RATES):
        known = ", ".join((*METRICS, ERRORS, *RATES))
        raise FastloadError(f"the SLO {text!r} names the unknown metric {subject!r}", hint=f"known are {known}")
    if match["stat"] is not None:
        raise FastloadError(f"the SLO {text!r} asks for {match['stat']} of {subject}, which is a single number", hint=_EXAMPLE)
    wanted = "%" if subject == ERRORS else ""
    if unit != wanted:
        hint = "errors takes a percentage, such as errors<1%" if wanted else f"{subject} takes a bare number"
        raise FastloadError(f"the SLO {text!r} has the wrong unit {unit!r}", hint=hint)
    scale = 0.01 if subject == ERRORS else 1.0
    return Gate(tidy, subject, None, match["op"], number * scale, unit, scale)


def parse_gates(texts: Iterable[str]) -> list[Gate]:
    """Return the gates of a plan, in order, but those on metrics of other packages; raises like `parse_gate`."""
    return [parse_gate(text) for text in own_gates(texts)]


def evaluate(gates: Iterable[Gate], summary: Summary) -> list[CheckResult]:
    """Return how each gate came out on `summary`: PASS or FAIL, values in the gate's own unit."""
    return [_check(gate, measure(gate, summary), summary) for gate in gates]


def measure(gate: Gate, summary: Summary) -> Measured:
    """Return what the subject of `gate` came to."""
    if gate.subject == ERRORS:
        counted = summary.requests.started - summary.requests.cancelled
        return Measured(summary.requests.failed / counted if counted else None, counted)
    if gate.stat is None:
        return Measured(getattr(summary.throughput, gate.subject), summary.requests.completed)
    block: Quantiles | None = getattr(summary.latency_ms, gate.subject)
    if block is None:
        return Measured(None, 0)
    return Measured(getattr(block, gate.stat), block.count)


def _stat(text: str, given: str | None) -> str:
    stat = {"p99.9": "p999", "avg": "mean", "median": "p50"}.get(given.lower(), given.lower()) if given else None
    if stat not in STATS:
        what = "names no statistic" if stat is None else f"asks for the unknown statistic {given!r}"
        raise FastloadError(f"the SLO {text!r} {what}", hint=f"known are {', '.join(STATS)}")
    return stat


def _check(gate: Gate, measured: Measured, summary: Summary) -> CheckResult:
    name = gate.subject if gate.stat is None else f"{gate.subject}.{gate.stat}"
    limit = f"{gate.operator} {gate.limit / gate.scale:.10g}{'' if gate.unit == '%' else ' '}{gate.unit}".rstrip()
    value = None if measured.value is None else measured.value / gate.scale
    passed = measured.value is not None and gate.holds(measured.value)
    hint = None
    if measured.value is None:
        hint = f"no data: {_why_no_data(gate, summary)}"
    elif not passed and gate.subject == ERRORS and summary.errors:
        hint = f"most frequent: {summary.errors[0].kind} ({summary.errors[0].count})"
    return CheckResult(name=name, status="PASS" if passed else "FAIL", value=value, limit=limit, n=measured.n, hint=hint)


def _why_no_data(gate: Gate, summary: Summary) -> str:
    """Return the most likely reason that the subject of a gate has no value."""
    if summary.run.duration_s == 0:
        return "the load stopped before the measured window began; shorten --warmup"
    if summary.requests.completed == 0:
        return "no request completed"
    if gate.subject == "connect":
        return "every connection was made before the measured window"
    if summary.latency_ms.e2e is None:
        return "no completed request was sent inside the measured window; run longer"
    if gate.subject in ("ttft", "ttft_scheduled", "ttfa", "itl", "tpot", "stall") and summary.latency_ms.ttft is None:
        return "the responses were not streamed, so tokens have no times"
    if gate.subject in ("itl", "tpot", "stall"):
        return "no response had two content events with a known gap"
    return "the server gave nothing to compute it from"
