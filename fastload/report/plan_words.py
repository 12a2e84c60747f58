"""What a run's plan asked for, in one word or number where there is one: API, model, concurrency, request rate.

Reads the plan as the result holds it. Invariant: what differs between the targets, or changes over time (stages, a trace), has no
one answer; the plan's own default is none either, where the targets say otherwise.
"""

from __future__ import annotations

from typing import Any


def api_of(plan: dict[str, Any]) -> str:
    """Return the API that all targets speak, or the names of those they do."""
    return " and ".join(_distinct(plan, "api")) or "auto"


def model_of(plan: dict[str, Any]) -> str | None:
    """Return the model that all targets were asked for, or the names of those they were."""
    return ", ".join(_distinct(plan, "model")) or None


def _distinct(plan: dict[str, Any], key: str) -> list[str]:
    """Return what the targets say, or for those that say nothing the plan, each once."""
    own = [plan.get(key) if target.get(key) is None else target[key] for target in plan.get("targets") or [{}]]
    return list(dict.fromkeys(str(value) for value in own if value is not None))


def users_of(plan: dict[str, Any]) -> int | None:
    """Return the concurrent users of all targets together; None in open loop, of stages and of a trace."""
    load = plan["load"]
    if plan.get("trace") is not None or load.get("stages") is not None or rate_of(plan) is not None:
        return None
    own = [target["users"] for target in plan.get("targets", []) if target.get("users") is not None]
    users = load.get("users")
    return sum(own) if own else None if users is None else users * _fields(plan)


def rate_of(plan: dict[str, Any]) -> float | None:
    """Return the arrivals per second at all targets together; None in a closed loop, of stages and of a trace."""
    load = plan["load"]
    if plan.get("trace") is not None or load.get("stages") is not None:
        return None
    own = [target["rate"] for target in plan.get("targets", []) if target.get("rate") is not None]
    rate = load.get("rate")
    return sum(own) if own else None if rate is None else rate * _fields(plan)


def closed_loop(plan: dict[str, Any]) -> bool:
    """Tell whether users wait for their answers."""
    stages = plan["load"].get("stages")
    return plan.get("trace") is None and rate_of(plan) is None and "/s" not in str(stages or "")


def _fields(plan: dict[str, Any]) -> int:
    """Return how often the load is made: in a race for each target."""
    return len(plan.get("targets", [])) if plan.get("contest", {}).get("mode") == "race" else 1
