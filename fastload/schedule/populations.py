"""Who a plan's load is made by: one population of users or arrivals for all targets, or one for each target.

A population shares out its requests over its endpoints by weight. Pure. Invariant: every target belongs to exactly one population.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastload.plan.load_section import Load
from fastload.plan.model import Plan
from fastload.schedule.closed import ClosedLoop


@dataclass(frozen=True, slots=True)
class Population:
    """Users or arrivals that draw on the same work."""

    name: str
    endpoints: tuple[int, ...]
    """Indices into the plan's targets."""
    weights: tuple[float, ...]
    """Shares of its requests, one for each endpoint; they sum to 1."""
    load: Load


def most_connections(plan: Plan) -> int | None:
    """Return how many connections a plan may have open at once; None = the schedule sets no limit."""
    total = 0
    for population in populations(plan):
        load = population.load
        if load.open_loop or plan.trace is not None:
            if load.max_in_flight is None:
                return None
            total += load.max_in_flight
        else:
            # A user of a mix keeps a connection to each server it has been sent to.
            total += ClosedLoop.of(load).most_users * len(population.endpoints)
    return total


def populations(plan: Plan) -> tuple[Population, ...]:
    """Return a plan's populations: one for each target that has users or a rate of its own, or runs in a race, else one for all."""
    targets = plan.targets
    if len(targets) > 1 and (plan.contest.mode == "race" or targets[0].users is not None or targets[0].rate is not None):
        found = []
        for index, target in enumerate(targets):
            own = {key: value for key in ("users", "rate") if (value := getattr(target, key)) is not None}
            found.append(Population(target.name, (index,), (1.0,), plan.load.model_copy(update=own)))
        return tuple(found)
    whole = sum(target.weight for target in targets)
    weights = tuple(target.weight / whole for target in targets)
    own = {key: value for key in ("users", "rate") if (value := getattr(targets[0], key)) is not None}
    return (
        Population(
            "all" if len(targets) > 1 else targets[0].name, tuple(range(len(targets))), weights, plan.load.model_copy(update=own)
        ),
    )
