"""The grammar of stop rules (`--stop 'errors>5%'`), and when one of them ends the load.

    rule = counter ">=" number          counter: requests output_tokens tokens (input and output) cost (in the plan's currency);
                                        number: 1000000, 1e6, 500k or 1M
         | "errors" ">" number "%"      failed of finished requests in the last 10 s, when at least 20 finished
         | latency "." quantile ".ci" "<" number "%"
                                        half the 95 % confidence interval of the quantile, over the quantile
         | "saturated"                  work piles up and no more of it gets done (`fastload.verdict.saturation`)
         | "slo" gate ["for" duration]  the gate (see `fastload.verdict.gates`) is missed by the last 10 s for so long (10 s)

Latencies are those of requests, so gaps (itl) cannot be asked for. A gate may be about one endpoint, not about a
stage. Pure. Invariant: a rule never fires for want of data.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from fastload.errors import FastloadError
from fastload.plan.model import Plan, Price
from fastload.plan.units import parse_duration_s
from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.intervals import relative_half_width
from fastload.verdict.gates import ERRORS, Gate, nearest, parse_gate
from fastload.verdict.recent import MIN_RECENT, RECENT_S, Progress, StopSnapshot
from fastload.verdict.statistic import Statistic, read_statistic

__all__ = ["StopRule", "StopRules", "StopSnapshot", "parse_stop_rules"]

DEFAULT_GRACE_S: Final = 10.0
_NEW_SHARE: Final = 0.02
"""An interval is computed anew when so many more values have come: sorting all of them four times a second would cost a core."""
_NUMBER: Final = r"(?P<number>\d[\d_]*(?:\.\d*)?(?:e\d+)?|\.\d+)"
_COUNTER: Final = re.compile(
    rf"(?P<subject>requests|output_tokens|tokens|cost)\s*>=\s*{_NUMBER}\s*(?P<factor>[km]?)", re.IGNORECASE
)
_ERRORS: Final = re.compile(rf"errors\s*>\s*{_NUMBER}\s*%", re.IGNORECASE)
_INTERVAL: Final = re.compile(rf"(?P<metric>\w+)\.(?P<stat>p[\d.]+)\.ci\s*<\s*{_NUMBER}\s*%", re.IGNORECASE)
_SLO: Final = re.compile(r"slo\s+(?P<gate>.+?)(?:\s+for\s+(?P<grace>\S+))?", re.IGNORECASE)
_FACTORS: Final = {"": 1.0, "k": 1e3, "m": 1e6}
_FOLLOWED: Final = (ERRORS, "requests_per_s", "output_tokens_per_s", "input_tokens_per_s")
"""Subjects that the last seconds can tell, beside latencies of requests."""
_EXAMPLES: Final = (
    "write requests>=1000, output_tokens>=1M, cost>=5, errors>5%, ttft.p99.ci<5%, saturated or 'slo ttft.p99<800ms for 10s'"
)


class StopRule(ABC):
    """One rule; it may remember what it saw at earlier checks."""

    kept: str | None = None
    """A latency metric of which it needs every value."""
    follows = False
    """It needs the saturation detector."""

    def __init__(self, text: str) -> None:
        self.text = text

    @abstractmethod
    def check(self, progress: Progress) -> str | None:
        """Return what was seen when the load is to end now, else None."""


class Reached(StopRule):
    """A count or a cost has come to its goal."""

    def __init__(self, text: str, subject: str, goal: float, price: Price) -> None:
        super().__init__(text)
        self._subject = subject
        self._goal = goal
        self._price = price

    def check(self, progress: Progress) -> str | None:
        """Compare."""
        value = self._value(progress)
        if value < self._goal:
            return None
        if self._subject == "cost":
            return f"{value:.2f} {self._price.currency} spent"
        return f"{value:,.0f} {self._subject.replace('_', ' ')}"

    def _value(self, progress: Progress) -> float:
        match self._subject:
            case "requests":
                return progress.finished
            case "output_tokens":
                return progress.output_tokens
            case "tokens":
                return progress.input_tokens + progress.output_tokens
        price = self._price
        server = (price.per_hour or 0.0) * progress.elapsed_s / 3600
        tokens = (price.per_million_input or 0.0) * progress.input_tokens + (
            price.per_million_output or 0.0
        ) * progress.output_tokens
        return server + tokens / 1e6


class ErrorShare(StopRule):
    """Too many of the requests that ended just now failed."""

    def __init__(self, text: str, limit: float) -> None:
        super().__init__(text)
        self._limit = limit

    def check(self, progress: Progress) -> str | None:
        """Compare."""
        recent = progress.recent()
        if len(recent) < MIN_RECENT:
            return None
        failed = int((recent["outcome"] != Outcome.COMPLETED).sum())
        if failed <= self._limit * len(recent):
            return None
        return f"{failed} of {len(recent)} requests failed in the last {RECENT_S:g} s"


class PreciseEnough(StopRule):
    """A quantile is known well enough."""

    def __init__(self, text: str, metric: str, stat: Statistic, limit: float) -> None:
        super().__init__(text)
        self.kept = metric
        self._metric = metric
        self._stat = stat
        self._limit = limit
        self._looked_at = 0

    def check(self, progress: Progress) -> str | None:
        """Compute the interval, when enough has come since the last time."""
        values = progress.all_values(self._metric)
        if len(values) < max(MIN_RECENT, self._looked_at * (1 + _NEW_SHARE)):
            return None
        self._looked_at = len(values)
        assert self._stat.q is not None
        width = relative_half_width(values, self._stat.q)
        if width is None or width >= self._limit:
            return None
        return f"{self._metric}.{self._stat.name} is known to {width:.1%} from {len(values):,} requests"


class Saturated(StopRule):
    """The server gets more than it can do."""

    follows = True

    def check(self, progress: Progress) -> str | None:
        """Ask the detector."""
        assert progress.detector is not None
        return progress.detector.reason(progress.elapsed_s)


class Missed(StopRule):
    """A gate is missed, and stays missed."""

    def __init__(self, text: str, gate: Gate, grace_s: float, endpoint: int | None = None) -> None:
        super().__init__(text)
        self._gate = gate
        self._endpoint = endpoint
        self._grace_s = grace_s
        self._since_s: float | None = None

    def check(self, progress: Progress) -> str | None:
        """Measure the last seconds; without data things are as they were."""
        value = self._measure(progress)
        if value is not None and self._gate.holds(value):
            self._since_s = None
        elif value is not None and self._since_s is None:
            self._since_s = progress.elapsed_s
        if self._since_s is None or value is None or progress.elapsed_s - self._since_s < self._grace_s:
            return None
        gate = self._gate
        return f"{gate.name} has missed it for {progress.elapsed_s - self._since_s:.0f} s and is {gate.shown(value, 4)}"

    def _measure(self, progress: Progress) -> float | None:
        """Return the gate's subject over the last seconds, in the gate's base unit; None = too few requests."""
        gate = self._gate
        if gate.statistic is not None:
            values = progress.recent_values(gate.subject, self._endpoint)
            return None if len(values) < MIN_RECENT else gate.statistic.of(values)
        recent = progress.recent(self._endpoint)
        done = recent[recent["outcome"] == Outcome.COMPLETED]
        if gate.subject == ERRORS:
            if len(recent) < MIN_RECENT:
                return None
            failed = len(recent) - len(done) if gate.stat is None else (recent["outcome"] == Outcome[gate.stat.upper()]).sum()
            return float(failed) / len(recent)
        if progress.elapsed_s < RECENT_S:
            return None
        match gate.subject:
            case "requests_per_s":
                return len(done) / RECENT_S
            case "output_tokens_per_s":
                return float(metrics.output_tokens(done).sum()) / RECENT_S
            case _:
                return float(np.maximum(done["input_tokens"], 0).sum()) / RECENT_S


class StopRules:
    """All rules of a run; the supervisor asks them four times a second."""

    def __init__(self, rules: Sequence[StopRule]) -> None:
        self._rules = tuple(rules)
        kept = frozenset(rule.kept for rule in rules if rule.kept is not None)
        self._progress = Progress(kept, follow=any(rule.follows for rule in rules))

    @classmethod
    def of(cls, plan: Plan) -> StopRules:
        """Return a plan's rules; raises like `parse_stop_rules`."""
        return cls(parse_stop_rules(plan.load.stop, plan.price, [target.name for target in plan.targets]))

    def __bool__(self) -> bool:
        """Tell whether there is any rule to ask."""
        return bool(self._rules)

    def check(self, now_s: float, snapshot: StopSnapshot) -> str | None:
        """Return why the load is to end, in one line; None = let it go on.

        Args:
            now_s: since the start of the load.
            snapshot: what is new since the last check.
        """
        self._progress.add(now_s, snapshot)
        # Every rule is asked, for some remember what they saw.
        reasons = [(rule, rule.check(self._progress)) for rule in self._rules]
        return next((f"stop rule {rule.text}: {reason}" for rule, reason in reasons if reason is not None), None)


def parse_stop_rules(texts: Iterable[str], price: Price | None = None, targets: Sequence[str] = ()) -> list[StopRule]:
    """Return the rules of a plan, in order; `targets` are the names that a gate may say behind `@`.

    Raises:
        FastloadError: bad syntax, an unknown metric or endpoint, a goal of 0, or a cost without a price.
    """
    return [_parse(text.strip(), price or Price(), targets) for text in texts]


def _parse(text: str, price: Price, targets: Sequence[str]) -> StopRule:
    if text.lower() == "saturated":
        return Saturated(text)
    if (match := _COUNTER.fullmatch(text)) is not None:
        goal = float(match["number"]) * _FACTORS[match["factor"].lower()]
        if goal <= 0:
            raise FastloadError(f"the stop rule {text!r} holds from the start", hint="its number must be above 0")
        if match["subject"].lower() == "cost" and not (price.per_hour or price.per_million_input or price.per_million_output):
            raise FastloadError(f"the stop rule {text!r} needs a price", hint="give price.per_hour or price.per_million_output")
        return Reached(text, match["subject"].lower(), goal, price)
    if (match := _ERRORS.fullmatch(text)) is not None:
        return ErrorShare(text, _percent(text, match["number"]))
    if (match := _INTERVAL.fullmatch(text)) is not None:
        metric, stat = _latency(text, match["metric"].lower()), read_statistic(match["stat"])
        if stat is None or stat.q is None:
            raise FastloadError(
                f"the stop rule {text!r} asks for the unknown quantile {match['stat']}", hint="write it as p50, p99 or p99.9"
            )
        return PreciseEnough(text, metric, stat, _percent(text, match["number"]))
    if (match := _SLO.fullmatch(text)) is not None:
        gate = parse_gate(match["gate"])
        endpoint = _followed(text, gate, targets)
        return Missed(text, gate, DEFAULT_GRACE_S if match["grace"] is None else _grace_s(text, match["grace"]), endpoint)
    raise FastloadError(f"the stop rule {text!r} cannot be read", hint=_EXAMPLES)


def _percent(text: str, number: str) -> float:
    share = float(number) / 100
    if not 0 <= share < 1:
        raise FastloadError(f"the stop rule {text!r} has the share {number}%", hint="it must be below 100%")
    return share


def _latency(text: str, metric: str) -> str:
    known = [name for name, definition in metrics.METRICS.items() if definition.values is not None]
    if metric not in known:
        raise FastloadError(
            f"the stop rule {text!r} asks for {metric}, which is no latency of a request", hint=f"known are {', '.join(known)}"
        )
    return metric


def _followed(text: str, gate: Gate, targets: Sequence[str]) -> int | None:
    """Return the index of the target a gate is about, None = all; refuse what the last seconds cannot tell."""
    if gate.phase is not None or gate.each_phase or gate.each_endpoint:
        raise FastloadError(
            f"the stop rule {text!r} names a stage or each endpoint", hint="it looks at the last 10 s; leave out # and *"
        )
    if gate.statistic is not None:
        _latency(text, gate.subject)
    elif gate.subject not in _FOLLOWED:
        raise FastloadError(f"the stop rule {text!r} asks for {gate.subject}", why="it is known when the run has ended")
    if gate.endpoint is None:
        return None
    if gate.endpoint not in targets:
        raise FastloadError(
            f"the stop rule {text!r} names the unknown endpoint {gate.endpoint!r}", hint=nearest(gate.endpoint, targets)
        )
    return list(targets).index(gate.endpoint)


def _grace_s(text: str, duration: str) -> float:
    try:
        return parse_duration_s(duration)
    except ValueError as error:
        raise FastloadError(f"the stop rule {text!r} cannot be read", why=str(error)) from None
