"""A plan in one line of words: how much load, for how long, on what.

Knows nothing of results. Invariant: the line says what is in force: users or rate, its course, its end, and every target.
"""

from __future__ import annotations

from fastload.plan.load_section import Load
from fastload.plan.model import Plan
from fastload.plan.stages import read_stages
from fastload.plan.target import Target
from fastload.plan.units import format_duration_s


def one_line(plan: Plan) -> str:
    """Return what a plan does, such as `50 users on http://127.0.0.1:8000 for 10m`."""
    return f"{amount(plan)} {_where(plan)} {length(plan)}"


def amount(plan: Plan) -> str:
    """Return how much load a plan makes: `50 users`, `2 requests/s (poisson)`, `stages 10..100@5m of users`, or its trace."""
    if plan.trace is not None:
        speed = "" if plan.trace.speed == 1 else f" at {plan.trace.speed:g} times its speed"
        return f"the trace {plan.trace.file}{speed}"
    own = {key: [value for target in plan.targets if (value := getattr(target, key)) is not None] for key in ("users", "rate")}
    if own["users"]:
        return f"{' + '.join(f'{count:,}' for count in own['users'])} users"
    if own["rate"]:
        return f"{' + '.join(f'{rate:g}' for rate in own['rate'])} requests/s ({plan.load.arrival})"
    what = "conversations" if plan.sessions is not None else "users"
    return _level(plan.load, what)


def length(plan: Plan) -> str:
    """Return what ends a plan's load, such as `for 10m or 1,000 requests`."""
    load = plan.load
    what = "conversations" if plan.sessions is not None else "requests"
    ends = [] if load.duration_s is None else [format_duration_s(load.duration_s)]
    if load.requests is not None:
        ends.append(f"{load.requests:,} {what if load.requests != 1 else what.removesuffix('s')}")
    if load.to_the_end:
        ends.append("its whole length")
    return f"for {' or '.join([*ends, *load.stop])}"


def _level(load: Load, what: str) -> str:
    if load.rate is not None:
        return f"{load.rate:g} requests/s ({load.arrival})"
    if load.stages is not None:
        return f"stages {load.stages} ({load.arrival})" if read_stages(load.stages).is_rate else f"stages {load.stages} of {what}"
    return f"{load.users:,} {what if load.users != 1 else what.removesuffix('s')}"


def _where(plan: Plan) -> str:
    """Return the targets and how they meet."""
    if len(plan.targets) == 1:
        return f"on {plan.target.url}"
    mode = plan.contest.mode
    if mode == "race":
        return f"on each of {', '.join(map(_named, plan.targets))} at once"
    if mode == "comparison":
        times = "once" if plan.contest.iterations == 1 else f"{plan.contest.iterations} times"
        return f"on {', '.join(map(_named, plan.targets))} in turn, {times} each,"
    if plan.target.users is not None or plan.target.rate is not None:
        return f"on {', '.join(map(_named, plan.targets))}"
    whole = sum(target.weight for target in plan.targets)
    return f"on {', '.join(f'{target.weight / whole:.0%} {_named(target)}' for target in plan.targets)}"


def _named(target: Target) -> str:
    return f"{target.name} ({target.url})"
