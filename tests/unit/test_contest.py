"""Comparison mode's order and prompts, without a run."""

from __future__ import annotations

from fastload.cli.contest import running_order
from fastload.cli.laddered import reseeded, step_plan
from fastload.plan.load import load_plan
from fastload.plan.model import Plan


def plan(**contest: object) -> Plan:
    hosts = [f"{name}=http://127.0.0.1:{port}" for port, name in enumerate("abcd", 8000)]
    return load_plan(None, {"host": hosts, "contest": {"mode": "comparison", "iterations": 50, **contest}})


def test_every_target_once_in_each_iteration() -> None:
    """Each iteration runs all targets, in an order of its own."""
    orders = running_order(plan())
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3)}
    assert len({tuple(order) for order in orders}) > 10


def test_no_target_is_always_first() -> None:
    """Over many iterations every target has run first."""
    assert {order[0] for order in running_order(plan())} == {0, 1, 2, 3}


def test_the_order_is_the_plans() -> None:
    """The same plan runs in the same order; `order: given` keeps the one of the targets."""
    assert running_order(plan()) == running_order(plan())
    assert {tuple(order) for order in running_order(plan(order="given"))} == {(0, 1, 2, 3)}


def test_a_step_differs_in_load_length_and_prompts_only() -> None:
    """A step's plan is the command's with another load, length, warm-up and prompt seed."""
    base = plan()
    step = step_plan(base, "users", 48.0, 20.0, 3)
    assert (step.load.users, step.load.duration_s, step.load.warmup_s, step.prompts.seed) == (48, 20.0, 5.0, base.prompts.seed + 3)
    same = {"users": base.load.users, "duration_s": base.load.duration_s, "warmup_s": base.load.warmup_s}
    back = step.model_copy(update={"load": step.load.model_copy(update=same), "prompts": base.prompts})
    assert back == base


def test_a_rate_step_is_open_loop() -> None:
    """A step over the rate has that rate and no stages."""
    assert step_plan(plan(), "rate", 12.5, 20.0, 1).load.open_loop


def test_targets_prompts_are_drawn_afresh_too() -> None:
    """A target with prompts of its own gets fresh ones as well."""
    base = plan()
    own = base.targets[0].model_copy(update={"prompts": base.prompts})
    fresh = reseeded(base.model_copy(update={"targets": (own, *base.targets[1:])}), 5)
    assert fresh.targets[0].prompts is not None
    assert (fresh.targets[0].prompts.seed, fresh.targets[1].prompts) == (5, None)
