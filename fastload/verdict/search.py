"""The highest load that meets the SLOs: which load to run next, decided from what has been run so far, and nothing else.

`decide` is a function of the question and the history of outcomes, so a search that was interrupted goes on from its list of
steps. Knows nothing of how a step is carried out. The rules, and why:

- Climb by doubling until a load fails, then halve the bracket until its ends are within the precision.
- One step can be wrong by noise. When the bracket has closed, the load above it must have failed twice; a step that disagrees is
  decided by a third. If that lifts the upper end, the search climbs again from there.
- The load below is run once more for longer, which confirms it. Two failing confirmations, not one, take it back.
- A step whose run is INVALID says nothing about the server. Twice INVALID, that load is the generator's limit: nothing above it is
  tried, the bracket closes below it, and the answer is a lower bound.

Invariant: `best` was met, by a majority of its valid steps and, if `confirmed`, by a longer run; an INVALID load is never `above`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fastload.errors import FastloadError
from fastload.plan.rules_section import FailOn
from fastload.stats.result import CheckResult, Summary
from fastload.verdict.checks import fails
from fastload.verdict.gates import ERRORS

Over = Literal["users", "rate"]
Result = Literal["met", "failed", "invalid"]
Phase = Literal["climb", "descend", "bisect", "repeat", "confirm"]
LimitedBy = Literal["server", "generator", "top"]

AGREEING: Final = 2
"""Steps that must agree on a load that decides the answer; with a third where two differ, one bad step in three is outvoted."""
MAX_STEPS_AT_LOAD: Final = 5
"""A load whose valid steps are still even after this many does not meet the SLOs reliably: it counts as failed."""
LOWEST_RATE: Final = 2.0**-10
"""Of the first rate: below a thousandth of it the question was asked wrongly."""
RATE_DIGITS: Final = 4
MAX_ERRORS: Final = 0.01
"""Share of failures a step may have where no SLO names `errors`. Latency is of completed requests only: a server that refuses the
rest quickly would meet a gate on it at any load."""
BACKLOG_SHARE: Final = 0.1
"""Open loop: a backlog that grows by a tenth of what arrived will not be worked off."""
BACKLOG_SIGMAS: Final = 3.0
"""... beyond what random arrivals make it grow by chance: their count varies by its square root."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for.

    Attributes:
        over: which load is changed.
        start: first load.
        top: highest load to try.
        precision: width of the final bracket, relative to its lower end.
    """

    over: Over
    start: float
    top: float
    precision: float

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            FastloadError: one is out of range (exit code 2).
        """
        if not 0 < self.start <= self.top or not math.isfinite(self.top):
            raise FastloadError(
                f"--lowest {self.start:g} --highest {self.top:g} is no range", hint="--lowest is positive and at most --highest"
            )
        if not 0 < self.precision < 1:
            raise FastloadError(f"--precision {self.precision:.4g} is not between 0 and 100%", hint="write --precision 3%")
        if self.over == "users" and not (self.start.is_integer() and self.top.is_integer()):
            raise FastloadError("users come in whole numbers", hint="or search over the rate with --over rate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step that was run: at which load, to what purpose, and how it came out."""

    load: float
    phase: Phase
    result: Result


@dataclass(frozen=True, slots=True)
class Move:
    """The step to run next."""

    load: float
    phase: Phase


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer.

    Attributes:
        best: highest load that meets the SLOs; None = none does.
        limited_by: why it is not higher: the server failed above, the generator did, or `top` was reached.
        confirmed: a longer run at `best` met the SLOs.
        above: lowest load that failed above `best`; None where it was the generator's limit or was never tried.
    """

    best: float | None
    limited_by: LimitedBy
    confirmed: bool
    above: float | None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A load's verdict so far; None = its steps are even. `firm`: enough of them agree."""

    result: Result | None
    firm: bool


def decide(question: Question, history: Sequence[Outcome]) -> Move | Finding:
    """Return the next step, or the answer when there is nothing left to run."""
    judged = {load: _judge(outcomes) for load, outcomes in _by_load(history).items()}
    open_load = next((load for load, verdict in judged.items() if verdict.result is None), None)
    if open_load is not None:
        return Move(open_load, "repeat")
    blocked = [load for load, verdict in judged.items() if verdict.result != "met"]
    high = min(blocked, default=None)
    low = max((load for load, verdict in judged.items() if verdict.result == "met" and (high is None or load < high)), default=None)
    if high is None:
        if low is None:
            return Move(question.start, "climb")
        if low < question.top:
            return Move(min(2 * low, question.top), "climb")
        return _confirm(low, "top", None, history)
    if low is None:
        lower = _lower(question, high)
        if lower is not None:
            return Move(lower, "descend")
        if not judged[high].firm:
            return Move(high, "repeat")
        return Finding(None, "generator" if judged[high].result == "invalid" else "server", confirmed=False, above=high)
    middle = _between(question, low, high)
    if middle is not None:
        return Move(middle, "bisect")
    if not judged[high].firm:
        return Move(high, "repeat")
    if judged[high].result == "invalid":
        return _confirm(low, "generator", None, history)
    return _confirm(low, "server", high, history)


def judge_step(summary: Summary, over: Over) -> tuple[Result, list[str]]:
    """Return how a step came out and, unless it met the SLOs, why."""
    if not summary.generator.valid:
        return "invalid", list(summary.generator.reasons)
    fail_on: FailOn = "warning" if summary.run.plan.get("fail_on") == "warning" else "critical"
    reasons = [_missed(check) for check in summary.verdict.checks if fails(check, fail_on)]
    requests = summary.requests
    if requests.completed == 0:
        reasons.append("no request completed")
    elif all(check.name != ERRORS or check.level is not None for check in summary.verdict.checks):
        ratio = requests.failed / (requests.completed + requests.failed)
        if ratio > MAX_ERRORS:
            reasons.append(f"{ratio:.1%} of the requests failed (at most {MAX_ERRORS:.0%}, unless an SLO names errors)")
    if over == "rate":
        reasons += _unsustained(summary)
    return ("failed", reasons) if reasons else ("met", [])


def _judge(outcomes: Iterable[Outcome]) -> _Judged:
    steps = [outcome for outcome in outcomes if outcome.phase != "confirm"]
    unconfirmed = sum(outcome.phase == "confirm" and outcome.result == "failed" for outcome in outcomes)
    if unconfirmed >= AGREEING:
        return _Judged("failed", firm=True)
    met, failed, invalid = (sum(step.result == result for step in steps) for result in ("met", "failed", "invalid"))
    if met + failed == 0:
        return _Judged("invalid" if invalid >= AGREEING else None, firm=True)
    if met == failed:
        return _Judged("failed" if len(steps) >= MAX_STEPS_AT_LOAD else None, firm=True)
    return _Judged("met" if met > failed else "failed", firm=max(met, failed) >= AGREEING or len(steps) >= MAX_STEPS_AT_LOAD)


def _confirm(load: float, limited_by: LimitedBy, above: float | None, history: Sequence[Outcome]) -> Move | Finding:
    runs = [outcome.result for outcome in history if outcome.phase == "confirm" and outcome.load == load]
    confirmed = "met" in runs
    if confirmed or runs.count("invalid") >= AGREEING:
        return Finding(load, limited_by if confirmed else "generator", confirmed, above)
    return Move(load, "confirm")


def _by_load(history: Iterable[Outcome]) -> Mapping[float, list[Outcome]]:
    loads: dict[float, list[Outcome]] = {}
    for outcome in history:
        loads.setdefault(outcome.load, []).append(outcome)
    return loads


def _between(question: Question, low: float, high: float) -> float | None:
    """Return the load in the middle of a bracket; None when it is narrow enough."""
    if high - low <= question.precision * low:
        return None
    middle = _tidy(question, (low + high) / 2)
    return middle if low < middle < high else None


def _lower(question: Question, load: float) -> float | None:
    lowest = 1.0 if question.over == "users" else question.start * LOWEST_RATE
    if load <= lowest:
        return None
    return max(_tidy(question, load / 2), lowest)


def _tidy(question: Question, load: float) -> float:
    """Return a load that can be run: whole users, or a rate with as many digits as a person reads."""
    return float(math.floor(load)) if question.over == "users" else float(f"{load:.{RATE_DIGITS}g}")


def _unsustained(summary: Summary) -> list[str]:
    """Return why the server did not keep up with the arrivals: missed ones, or a backlog that grew all along.

    A short step ends before a growing queue has made itself felt in the latency.
    """
    reasons = []
    requests = summary.requests
    if requests.missed:
        reasons.append(f"{requests.missed} arrivals missed: too many requests in flight")
    begin_s, end_s = summary.run.load_s - summary.run.duration_s, summary.run.load_s
    rows = [row for row in summary.timeline if row.t_s >= begin_s and row.t_s + 1 <= end_s]
    arrived = sum(row.started for row in rows)
    grown = arrived - sum(row.completed + row.failed for row in rows)
    if grown > BACKLOG_SHARE * arrived + BACKLOG_SIGMAS * math.sqrt(arrived):
        reasons.append(f"the backlog grew by {grown} of {arrived} requests")
    return reasons


def _missed(check: CheckResult) -> str:
    value = "no data" if check.value is None else f"{check.value:.4g}"
    return f"{check.name} {value} ({'wanted ' if check.level is None else ''}{check.limit})"
