"""Gates of other packages: a judgement on the whole summary, beside the gates of `--slo`.

Knows nothing of how such a gate is found. Invariant: a gate that fails to judge has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from fastload import plugins
from fastload.errors import FastloadError
from fastload.stats.metrics import METRICS
from fastload.stats.result import CheckResult, Summary
from fastload.verdict.gates import Gate as ParsedGate


@runtime_checkable
class Gate(Protocol):
    """Judges a run."""

    def __call__(self, summary: Summary, /) -> CheckResult:
        """Return how the run came out: PASS, or FAIL, which makes the exit code 1.

        Args:
            summary: complete but for its verdict, which is being made.
        """


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


def check_plugged(gates: Mapping[str, Gate], summary: Summary) -> list[CheckResult]:
    """Return how each gate judged, in order."""
    return [_judged(text, gate, summary) for text, gate in gates.items()]


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


def gated_metrics(asked: Iterable[str], gates: Iterable[ParsedGate]) -> list[str]:
    """Return the metrics of other packages that are wanted: those asked for, and those a gate of `--slo` names."""
    wanted = list(asked)
    have = {plugins.name_of(text) for text in wanted}
    for gate in gates:
        if (
            gate.stat is not None
            and gate.subject not in METRICS
            and gate.subject not in have
            and plugins.known("metrics", gate.subject)
        ):
            wanted.append(gate.subject)
            have.add(gate.subject)
    return wanted
