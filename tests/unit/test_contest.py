"""Comparison mode's order and prompts, without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload.cli.contest import running_order
from fastload.cli.laddered import reseeded, step_plan
from fastload.cli.main import run_command_line
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


def comparison(tmp_path: Path, *flags: str) -> int:
    """Ask for a comparison of two servers that are not there."""
    hosts = ("--host", "a=http://127.0.0.1:9", "--host", "b=http://127.0.0.1:9", "--model", "m", "--api", "openai-chat")
    return run_command_line([*hosts, "--mode", "comparison", "-o", str(tmp_path / "r"), *flags])


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_is_no_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Results lie in OUT/TARGET, so no target may be called like a way out of OUT."""
    assert comparison(tmp_path, "--host", f"{name}=http://127.0.0.1:9") == 2
    assert f"the target '{name}' cannot be compared under this name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag", [("--prometheus", "0"), ("--scrape", "auto"), ("--nvidia-smi",), ("--otlp", "http://h"), ("--pushgateway", "http://h")]
)
def test_nothing_is_watched_unheeded(tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: tuple[str, ...]) -> None:
    """A comparison has no process beside its runs: a flag that asks for one is an error, not ignored."""
    assert comparison(tmp_path, *flag) == 2
    assert f"{flag[0]} is about one run, and a comparison is several" in capsys.readouterr().err


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
