"""The gates of a plan: their endpoints and stages looked up, those written with `*` made into one for each.

Invariant: a gate that comes out of here names a target and a stage that the plan has and measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.phases import phases_of
from fastload.verdict.gates import GOODPUTS, MISSED, Gate, nearest, parse_gate, parse_metric
from fastload.verdict.plugged import own_gates


def gates_of(plan: Plan) -> list[Gate]:
    """Return the gates of a plan, in order, but those on metrics of other packages.

    Raises:
        FastloadError: one does not parse, or asks for an endpoint, a stage or a goodput that the plan has not (exit code 2).
    """
    gates = []
    for text in own_gates(plan.slo):
        gates += resolve(parse_gate(text), plan, f"the SLO {text!r}")
    for gate in gates:
        check_goodput(gate, gates, f"the SLO '{gate.name}{gate.shown_limit.replace(' ', '')}'")
    return gates


def resolve(gate: Gate, plan: Plan, called: str) -> list[Gate]:
    """Return what a gate means for a plan; `called` is what errors call it.

    Raises:
        FastloadError: the plan has no such endpoint or stage, or measures nothing of it.
    """
    if gate.subject == MISSED and (gate.endpoint or gate.phase is not None or gate.each_endpoint or gate.each_phase):
        raise FastloadError(f"{called} asks for a part of missed, which is known of the whole run", hint="leave out @ and #")
    names = [target.name for target in plan.targets]
    if gate.endpoint is not None and gate.endpoint not in names:
        raise FastloadError(f"{called} names the unknown endpoint {gate.endpoint!r}", hint=nearest(gate.endpoint, names))
    wanted = [gate]
    if gate.each_endpoint:
        wanted = [replace(gate, endpoint=name, each_endpoint=False) for name in names]
    if gate.each_phase or gate.phase is not None:
        numbers = _stages(gate, plan, called)
        wanted = [replace(one, phase=number, each_phase=False) for one in wanted for number in numbers]
    return wanted


def check_goodput(gate: Gate, gates: Iterable[Gate], called: str) -> None:
    """Refuse a gate on goodput where no gate sets the requests it counts a limit.

    Raises:
        FastloadError: nothing would tell a good request from another.
    """
    if gate.subject not in GOODPUTS or any(_overlap(gate, other) for other in gates if other.of_a_request):
        return
    raise FastloadError(
        f"{called} asks for good requests, and no SLO says what a good one is",
        hint="add an upper limit on a latency, such as --slo 'ttft.p99<800ms'",
    )


def for_target(plan: Plan, index: int) -> Plan:
    """Return a plan's target alone, as `Plan.for_target` does, with those of the gates and rules that are about it.

    The plan's gates and rules must have been checked.
    """
    alone = plan.for_target(index)
    name = plan.targets[index].name
    own = set(own_gates(plan.slo))
    slo = tuple(text for text in plan.slo if text not in own or parse_gate(text).endpoint in (None, name))
    rules = tuple(
        rule for rule in plan.rules if isinstance(rule, str) or parse_metric(rule.metric, rule.metric).endpoint in (None, name)
    )
    return alone.model_copy(update={"slo": slo, "rules": rules})


def _stages(gate: Gate, plan: Plan, called: str) -> list[int]:
    phases = phases_of(plan)
    if not phases:
        raise FastloadError(f"{called} asks for a stage, and the load has none", hint="give the load --stages, or leave out #")
    measured = [phase.number for phase in phases if phase.measured_s(plan) > 0]
    if gate.phase is None:
        return measured
    if not 1 <= gate.phase <= len(phases):
        raise FastloadError(f"{called} asks for stage {gate.phase}, and there are {len(phases)}", hint="stages count from 1")
    if gate.phase not in measured:
        raise FastloadError(
            f"{called} asks for stage {gate.phase}, of which nothing is measured",
            why="the warm-up or the end of the load covers it",
        )
    return [gate.phase]


def _overlap(one: Gate, other: Gate) -> bool:
    """Tell whether a request can be in the scopes of both."""
    endpoints = one.endpoint is None or other.endpoint is None or one.endpoint == other.endpoint
    return endpoints and (one.phase is None or other.phase is None or one.phase == other.phase)
