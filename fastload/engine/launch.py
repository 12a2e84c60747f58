"""From a plan to everything the workers are told: servers reached, models and APIs found out, work made ready.

Starts nothing but the short-lived children of preflight. Invariant: whatever a user got wrong is said before a worker is forked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastload.dialects.registry import get_dialect
from fastload.engine.endpoint import Endpoint
from fastload.engine.preflight import Check, Reached
from fastload.engine.server_counter import server_counter
from fastload.plan.model import Plan
from fastload.schedule.populations import Population, populations
from fastload.workload.assemble import build_work
from fastload.workload.tokenizers import SERVER
from fastload.workload.work import Workload


@dataclass(frozen=True, slots=True)
class Launch:
    """What a run starts from."""

    plan: Plan
    """With each target's API and model filled in."""
    endpoints: Sequence[Endpoint]
    crowds: Sequence[tuple[Population, Workload]]


def make_ready(plan: Plan, meanwhile: Callable[[], object] | None = None) -> Launch:
    """Reach every server of a plan, all at once, and prepare its work; `meanwhile` is called while they are being asked.

    Raises:
        FastloadError: a server cannot be reached (exit 4), a name is unknown or a file cannot be used (exit 2).
    """
    checks: list[Check] = []
    try:
        for index in range(len(plan.targets)):
            checks.append(Check(plan.for_target(index)))  # noqa: PERF401 - those there are must end when one cannot begin
        if meanwhile is not None:
            meanwhile()
        reached = [check.result() for check in checks]
    finally:
        for check in checks:
            check.end()
    plan = _resolved(plan, reached)
    dialects = [get_dialect(plan.for_target(index).api) for index in range(len(plan.targets))]
    endpoints = [Endpoint(dialect, found.address, found.context) for dialect, found in zip(dialects, reached, strict=True)]
    if plan.prompts.tokenizer == SERVER:
        server_counter(plan, endpoints[0]).count("a")  # a server that cannot count says so now, not after the load
    crowds = [
        (population, build_work(plan, population.endpoints, population.weights, dialects)) for population in populations(plan)
    ]
    return Launch(plan, endpoints, crowds)


def _resolved(plan: Plan, reached: Sequence[Reached]) -> Plan:
    """Return the plan with the models and APIs that were found out; of a single target they are the plan's own."""
    if len(reached) == 1:
        target = plan.targets[0].model_copy(update={"model": None, "api": None})
        return plan.model_copy(update={"model": reached[0].model, "api": reached[0].api, "targets": (target,)})
    targets = tuple(
        target.model_copy(update={"model": found.model, "api": found.api})
        for target, found in zip(plan.targets, reached, strict=True)
    )
    return plan.model_copy(update={"targets": targets})
