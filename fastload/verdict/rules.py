"""Graded rules: where a gate passes or fails, a rule says how bad it is, by thresholds for INFO, WARNING and CRITICAL.

A rule measures what a gate measures, in the same words (`fastload.verdict.gates`); its thresholds say where a level begins, and the
worst that is passed counts. A plan's rules are presets and rules of its own; a later rule for the same metric takes the place of an
earlier one, and one without thresholds switches it off. Pure. Invariant: what has no data does not pass, it is a WARNING.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.phases import phases_of
from fastload.plan.rules_section import Level, Rule
from fastload.stats.result import CheckResult, Status
from fastload.verdict.gates import Gate, parse_gate, parse_metric
from fastload.verdict.measure import PER_TOKEN, Evidence
from fastload.verdict.presets import Capacity, preset
from fastload.verdict.scopes import check_goodput, gates_of, resolve

_WORDS: Final[Mapping[Level, Literal["INFO", "WARNING", "CRITICAL"]]] = {
    "info": "INFO",
    "warning": "WARNING",
    "critical": "CRITICAL",
}
_STATUS: Final[Mapping[Level, Status]] = {"info": "PASS", "warning": "WARNING", "critical": "CRITICAL"}


@dataclass(frozen=True, slots=True)
class Graded:
    """A rule of a plan, ready to be judged.

    Attributes:
        metric: what it measures, and of what.
        levels: from harmless to bad, where each begins.
    """

    metric: Gate
    levels: tuple[tuple[Level, Gate], ...]


def rules_of(plan: Plan) -> list[Graded]:
    """Return the rules of a plan: presets laid out, replaced ones gone, one for each endpoint and stage where they say `*`.

    Raises:
        FastloadError: an unknown preset or metric, a threshold that cannot be read, or a scope the plan has not (exit code 2).
    """
    found: dict[str, Graded] = {}
    for rule, called in _written(plan):
        for graded in _graded(rule, plan, called):
            name = graded.metric.name
            if not graded.levels and name not in found:
                raise FastloadError(f"{called} has no threshold", hint="give it a warning or critical, such as '>5s'")
            if graded.levels:
                found[name] = graded
            else:
                del found[name]
    gates = gates_of(plan)
    for graded in found.values():
        check_goodput(graded.metric, gates, f"the rule for {graded.metric.name}")
    return list(found.values())


def phase_windows_ns(plan: Plan, load_start_ns: int) -> tuple[tuple[int, int], ...]:
    """Return when each stage begins and ends, where a gate or rule needs what the tokens of a stage did; else nothing."""
    asked = [*gates_of(plan), *(rule.metric for rule in rules_of(plan))]
    needed = any(gate.phase is not None and gate.subject in PER_TOKEN for gate in asked)
    return tuple(phase.window_ns(load_start_ns) for phase in phases_of(plan)) if needed else ()


def judge_rules(rules: list[Graded], evidence: Evidence) -> list[CheckResult]:
    """Return how each rule came out, values in the unit of its first threshold."""
    return [_judged(rule, evidence) for rule in rules]


def capacity_hints(plan: Plan, evidence: Evidence) -> list[str]:
    """Return what the presets of a plan say about the load it put on the server."""
    wanted = [preset(rule).capacity for rule in plan.rules if isinstance(rule, str)]
    return [hint for capacity in dict.fromkeys(wanted) if capacity is not None and (hint := _capacity(capacity, plan, evidence))]


def _written(plan: Plan) -> Iterator[tuple[Rule, str]]:
    for item in plan.rules:
        if isinstance(item, Rule):
            yield item, f"the rule for {item.metric}"
            continue
        for rule in preset(item).rules:
            yield rule, f"the rule for {rule.metric} of {item}"


def _graded(rule: Rule, plan: Plan, called: str) -> Iterator[Graded]:
    """Yield a rule for each endpoint and stage it is about."""
    metric = parse_metric(rule.metric, called)
    levels = [
        (level, parse_gate(f"{rule.metric} {text}", f"{called}: {level} {text!r}")) for level, text in rule.thresholds.items()
    ]
    if len({gate.operator[0] for _, gate in levels}) > 1:
        raise FastloadError(f"{called} is bad both above and below", hint="give all its thresholds the same direction")
    if len({gate.unit == "%" for _, gate in levels}) > 1:
        raise FastloadError(f"{called} has thresholds in % and in numbers", hint="give all of them in one unit")
    limits = [gate.limit if gate.operator[0] == ">" else -gate.limit for _, gate in levels]
    if limits != sorted(limits):
        raise FastloadError(f"{called} is not graded", why="a worse level begins before a harmless one")
    unit, scale = (levels[0][1].unit, levels[0][1].scale) if levels else ("", 1.0)
    for one in resolve(metric, plan, called):
        yield Graded(
            replace(one, unit=unit, scale=scale),
            tuple((level, replace(gate, unit=unit, scale=scale)) for level, gate in levels),
        )


def _judged(rule: Graded, evidence: Evidence) -> CheckResult:
    metric = rule.metric
    measured = evidence.measure(metric)
    reached: Level | None = None
    if measured.value is not None:
        reached = next((level for level, gate in reversed(rule.levels) if gate.holds(measured.value)), None)
    hint = f"no data: {evidence.why_no_data(metric)}" if measured.value is None else None
    return CheckResult(
        name=metric.name,
        status="WARNING" if measured.value is None else "PASS" if reached is None else _STATUS[reached],
        value=None if measured.value is None else measured.value / metric.scale,
        limit=", ".join(f"{level.upper()} {gate.shown_limit}" for level, gate in rule.levels),
        n=measured.n,
        hint=hint,
        endpoint=metric.endpoint,
        phase=metric.phase,
        level="WARNING" if measured.value is None else "PASS" if reached is None else _WORDS[reached],
    )


def _capacity(capacity: Capacity, plan: Plan, evidence: Evidence) -> str | None:
    """Return what a latency says about the load; None without data."""
    comfortable, heavy, overloaded = (
        parse_gate(capacity.metric + text) for text in (capacity.comfortable, capacity.heavy, capacity.overloaded)
    )
    value = evidence.measure(overloaded).value
    if value is None:
        return None
    level = _level(plan)
    at = "" if level is None else f" at {_load(*level)}"
    said = f"capacity: {overloaded.name} is {overloaded.shown(value, 3)}"
    if overloaded.holds(value):
        again = "half the load" if level is None else _load(level[0] * capacity.start_again_at, level[1])
        return f"{said} ({overloaded.shown_limit}): overloaded{at}; start again with {again}"
    if comfortable.holds(value):
        return f"{said} ({comfortable.shown_limit}): comfortable{at}; the server could take more"
    return f"{said}: {'heavy' if heavy.holds(value) else 'moderate'} load{at}"


def _load(amount: float, noun: str) -> str:
    """Return a load in words; users come in whole numbers, and at least one."""
    if noun != "user":
        return f"{amount:,.4g} {noun}"
    users = max(1, int(amount))
    return f"{users:,} user{'' if users == 1 else 's'}"


def _level(plan: Plan) -> tuple[float, str] | None:
    """Return how much load there was, and of what; None where it changed over time."""
    load = plan.load
    if load.stages is not None or plan.trace is not None:
        return None
    users = [target.users for target in plan.targets if target.users is not None]
    rates = [target.rate for target in plan.targets if target.rate is not None]
    if rates or load.rate is not None:
        return float(sum(rates) or load.rate or 0.0), "requests/s"
    return float(sum(users) or load.users), "user"
