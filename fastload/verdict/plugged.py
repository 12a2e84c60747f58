"""What other packages add to a verdict: gates of theirs, and gates of `--slo` on metrics of theirs.

    gate = metric "." stat operator number      a metric of an installed package; the number is in its own unit

Takes such texts out of `plan.slo` before `fastload.verdict.gates` reads the rest. Knows nothing of how a plug-in is found.
Invariant: no data fails a gate, and a gate that fails to judge has failed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from fastload import plugins
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.stats.plugged import RESERVED, load_metrics
from fastload.stats.result import CheckResult, Summary

STATS: Final = ("mean", "stdev", "min", "p50", "p75", "p90", "p95", "p99", "p999", "max")
_ALSO: Final = {"p99.9": "p999", "avg": "mean", "median": "p50"}
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NAME: Final = re.compile(r"\s*(?P<name>[a-z][a-z0-9_]*)", re.IGNORECASE)
_GATE: Final = re.compile(
    r"\s*(?P<name>[a-z][a-z0-9_]*)\.(?P<stat>[a-z0-9.]+)\s*(?P<op><=|>=|<|>)\s*(?P<number>-?\d+(?:\.\d*)?|-?\.\d+)\s*",
    re.IGNORECASE,
)


@runtime_checkable
class Gate(Protocol):
    """Judges a run."""

    def __call__(self, summary: Summary, /) -> CheckResult:
        """Return how the run came out: PASS, or FAIL, which makes the exit code 1.

        Args:
            summary: complete but for its verdict, which is being made.
        """


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A gate on a metric of another package."""

    metric: str
    stat: str
    operator: str
    limit: float

    def check(self, summary: Summary) -> CheckResult:
        """Return how it came out."""
        found = (summary.metrics or {}).get(self.metric)
        block = None if found is None else found.quantiles
        value: float | None = None if block is None else getattr(block, self.stat)
        passed = value is not None and _COMPARE[self.operator](value, self.limit)
        reason = "no completed request of the measured window has one" if found is None or found.error is None else found.error
        return CheckResult(
            name=f"{self.metric}.{self.stat}",
            status="PASS" if passed else "FAIL",
            value=value,
            limit=f"{self.operator} {self.limit:.10g}{'' if found is None or not found.unit else f' {found.unit}'}",
            n=0 if block is None else block.count,
            hint=f"no data: {reason}" if value is None else None,
        )


def own_gates(texts: Iterable[str]) -> list[str]:
    """Return the gates of `--slo` that are about fastload's own metrics, or about nothing there is."""
    return [text for text in texts if _metric_in(text) is None]


def metric_gates(texts: Iterable[str]) -> list[MetricGate]:
    """Return the gates of `--slo` on metrics of other packages.

    Raises:
        FastloadError: one cannot be read.
    """
    return [_parse(text, name) for text in texts if (name := _metric_in(text)) is not None]


def wanted_metrics(plan: Plan) -> list[str]:
    """Return the metrics of other packages that a plan wants: those it asks for, and those its gates name."""
    wanted = list(plan.metrics)
    have = {plugins.name_of(text) for text in wanted}
    for gate in metric_gates(plan.slo):
        if gate.metric not in have:
            wanted.append(gate.metric)
            have.add(gate.metric)
    return wanted


def load_gates(texts: Iterable[str]) -> dict[str, Gate]:
    """Return the gates that texts (`NAME`, `NAME:ARG`) ask for, by text.

    Raises:
        FastloadError: there is none of that name, or it is no gate.
    """
    found: dict[str, Gate] = {}
    for text in texts:
        gate = plugins.load("gates", text)
        if not callable(gate):
            raise FastloadError(f"the gate {plugins.name_of(text)!r} is no gate", why=f"a {type(gate).__name__} cannot be called")
        found[text] = gate
    return found


def check_plugins(plan: Plan) -> None:
    """Load what a plan wants of other packages for its verdict, to see before the run whether it can be.

    Raises:
        FastloadError: something cannot be found, loaded or read.
    """
    load_metrics(wanted_metrics(plan))
    load_gates(plan.gates)


def check_others(plan: Plan, summary: Summary) -> list[CheckResult]:
    """Return how the gates on metrics of other packages came out, then what the gates of other packages say.

    `summary` has its metrics, and what else is known of the run.
    """
    on_metrics = [gate.check(summary) for gate in metric_gates(plan.slo)]
    return [*on_metrics, *(_judged(text, gate, summary) for text, gate in load_gates(plan.gates).items())]


def _metric_in(text: str) -> str | None:
    match = _NAME.match(text)
    name = "" if match is None else match["name"].lower()
    return name if name and name not in RESERVED and plugins.known("metrics", name) else None


def _parse(text: str, name: str) -> MetricGate:
    match = _GATE.fullmatch(text)
    stat = "" if match is None else _ALSO.get(match["stat"].lower(), match["stat"].lower())
    if match is None and ("@" in text or "#" in text):
        why = f"{name} is a metric of another package, which covers all targets and stages together"
        hint = f"write it as {name}.p50<5; --gate can judge parts of a run"
        raise FastloadError(f"the SLO {text!r} has a scope", why=why, hint=hint)
    if match is None or stat not in STATS:
        hint = f"write it as {name}.p50<5, in the metric's own unit; statistics are {', '.join(STATS)}"
        raise FastloadError(f"the SLO {text!r} cannot be read", why=f"{name} is a metric of another package", hint=hint)
    return MetricGate(name, stat, match["op"], float(match["number"]))


def _judged(text: str, gate: Gate, summary: Summary) -> CheckResult:
    try:
        check = gate(summary)
    except Exception as error:  # a foreign gate must not cost the run its result
        return _unjudged(text, f"the gate failed to judge: {plugins.reason(error)}")
    if not isinstance(check, CheckResult):
        return _unjudged(text, f"the gate gave a {type(check).__name__} in place of a CheckResult")
    if check.status not in ("PASS", "FAIL"):
        return _unjudged(text, f"the gate gave the status {check.status}; there are PASS and FAIL")
    return check


def _unjudged(text: str, hint: str) -> CheckResult:
    return CheckResult(name=text, status="FAIL", value=None, limit="", n=0, hint=hint)
