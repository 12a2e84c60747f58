"""How the gates of a run came out, as rows of the verdict; and which rows fail a run.

Invariant: a gate without data fails, and says why there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastload.plan.rules_section import FailOn
from fastload.stats.result import CheckResult
from fastload.verdict.gates import ERRORS, Gate
from fastload.verdict.measure import Evidence


def evaluate(gates: Iterable[Gate], evidence: Evidence) -> list[CheckResult]:
    """Return how each gate came out: PASS or FAIL, values in the gate's own unit."""
    return [_check(gate, evidence) for gate in gates]


def fails(check: CheckResult, fail_on: FailOn) -> bool:
    """Tell whether a row makes the run fail: a missed gate, a CRITICAL rule, and where that is asked for a WARNING."""
    return check.status in ("FAIL", "CRITICAL") or (check.status == "WARNING" and fail_on == "warning")


def _check(gate: Gate, evidence: Evidence) -> CheckResult:
    measured = evidence.measure(gate)
    passed = measured.value is not None and gate.holds(measured.value)
    hint = None
    if measured.value is None:
        hint = f"no data: {evidence.why_no_data(gate)}"
    elif not passed and gate.subject == ERRORS and gate.stat is None and gate.phase is None:
        summary = evidence.summary
        errors = summary.errors if gate.endpoint is None else summary.endpoints[gate.endpoint].errors
        hint = f"most frequent: {errors[0].kind} ({errors[0].count})" if errors else None
    return CheckResult(
        name=gate.name,
        status="PASS" if passed else "FAIL",
        value=None if measured.value is None else measured.value / gate.scale,
        limit=gate.shown_limit,
        n=measured.n,
        hint=hint,
        endpoint=gate.endpoint,
        phase=gate.phase,
    )
