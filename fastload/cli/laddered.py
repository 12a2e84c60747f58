"""What `search` and `stress` share: the plan of one step made of the plan of all, and the flags both read.

Knows nothing of which load comes next. Invariant: two steps of one command differ in their load, their length and their prompts'
seed, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.prompts_section import Prompts
from fastload.plan.units import parse_duration_s
from fastload.verdict.gates import parse_gate, parse_metric
from fastload.verdict.plugged import own_gates

WARMUP_SHARE: Final = 0.25
"""Of a step: users start within its first second, and a server needs a while to settle at a new load."""
_OWN: Final = ("users", "rate", "stages", "duration", "requests", "stop")
"""Flags of a load that the command itself decides."""


def base_plan(plan: Plan, flags: Mapping[str, Any], over: str) -> Plan:
    """Return the plan the steps are made of.

    Raises:
        FastloadError: the plan says something that every step would have to contradict.
    """
    given = [name for name in _OWN if name in flags.get("load", {})]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise FastloadError(f"{flag} is decided step by step here", hint="give --lowest, --highest and --step-duration instead")
    if plan.trace is not None:
        raise FastloadError("a trace says itself how much load there is", hint="leave the trace out, or use fastload run")
    if over == "rate" and plan.load.thinks:
        raise FastloadError("think time and pacing have no meaning at a rate", hint="leave them out, or use --over users")
    own = next((target for target in plan.targets if target.users is not None or target.rate is not None), None)
    if own is not None:
        raise FastloadError(f"target {own.name} has a load of its own", hint="give targets weights (name=URL@weight) instead")
    asked = [parse_gate(text) for text in own_gates(plan.slo)]
    asked += [parse_metric(rule.metric, f"the rule for {rule.metric}") for rule in plan.rules if not isinstance(rule, str)]
    staged = next((gate.name for gate in asked if gate.phase is not None or gate.each_phase), None)
    if staged is not None:
        raise FastloadError(f"{staged} is about a stage, and a step has none", hint="leave out #")
    return plan


def step_plan(plan: Plan, over: Literal["users", "rate"], load: float, length_s: float, number: int) -> Plan:
    """Return the plan of one step.

    Each step draws prompts of its own: with the same ones again, a server's prefix cache would serve every step but the first.
    """
    warmup_s = plan.load.warmup_s or WARMUP_SHARE * length_s
    if warmup_s >= length_s:
        raise FastloadError(f"--warmup is {warmup_s:g} s and a step {length_s:g} s", why="nothing would be measured")
    update: dict[str, Any] = {
        "users": round(load) if over == "users" else 1,
        "rate": load if over == "rate" else None,
        "spawn_rate": plan.load.spawn_rate if over == "users" else None,
        "stages": None,
        "requests": None,
        "stop": (),
        "duration_s": length_s,
        "warmup_s": warmup_s,
    }
    return reseeded(plan.model_copy(update={"load": plan.load.model_copy(update=update)}), number)


def reseeded(plan: Plan, number: int) -> Plan:
    """Return the plan with prompts drawn afresh, its targets' own ones too."""

    def fresh(prompts: Prompts) -> Prompts:
        return prompts.model_copy(update={"seed": (prompts.seed + number) % (1 << 64)})

    targets = tuple(
        target if target.prompts is None else target.model_copy(update={"prompts": fresh(target.prompts)})
        for target in plan.targets
    )
    return plan.model_copy(update={"prompts": fresh(plan.prompts), "targets": targets})


def share(flag: str, text: str) -> float:
    """Return a share written as `3%` or `0.03`.

    Raises:
        FastloadError: it is neither.
    """
    percent = text.strip().endswith("%")
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        raise FastloadError(f"{flag} {text!r} is not a share", hint="write it as 3% or 0.03") from None
    return number / 100 if percent else number


def length_s(flag: str, text: str) -> float:
    """Return a length in seconds.

    Raises:
        FastloadError: it is no duration, or none that something could be run for.
    """
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise FastloadError(f"{flag}: {error}") from None
    if seconds <= 0:
        raise FastloadError(f"{flag} is {text}", why="nothing would be measured")
    return seconds
