"""Comparison mode: one target after the other, each alone, several times over, and what differs between them.

Within an iteration every target gets the same prompts, so that they are asked the same; from iteration to iteration the prompts are
drawn afresh unless the plan says `seeds: same`. The order is drawn anew for each iteration, so that no target is always the one
that runs on a warm machine. Invariant: a target's results are in OUT/TARGET/ITERATION, which is what `fastload compare` reads.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from rich.console import Console

from fastload.cli.compare import Entrant, compare_results, read_result, show
from fastload.cli.laddered import reseeded
from fastload.cli.outputs import STDOUT, Outputs, check_outputs, report_console
from fastload.cli.prepare import check_plan
from fastload.cli.steps import run_step
from fastload.errors import ExitCode, FastloadError
from fastload.plan.model import Plan
from fastload.report.words import ms, rate
from fastload.stats.result import Summary
from fastload.verdict.rules import rules_of
from fastload.verdict.scopes import for_target, gates_of


def run_comparison(plan: Plan, outputs: Outputs) -> ExitCode:
    """Run each target of a plan alone, `contest.iterations` times, then compare them with the first.

    `outputs.json_file` gets the comparison, not a summary. The exit code is the worst of the runs': 3 INVALID, 5 all failed, 1 a
    gate failed, else 0; 130 when it was interrupted.

    Raises:
        FastloadError: a plan cannot be run, a target not be reached, or there is only one.
    """
    if len(plan.targets) < 2:
        raise FastloadError("a comparison needs at least two targets", hint="give --host name=URL once for each")
    for target in plan.targets:
        if "/" in target.name or target.name in (".", ".."):
            why = "each target's results go to a directory of its name"
            raise FastloadError(f"the target {target.name!r} cannot be compared under this name", why=why, hint="give it another")
    gates_of(plan)
    rules_of(plan)
    plans = [for_target(plan, index) for index in range(len(plan.targets))]
    for alone in plans:
        check_plan(alone)
    check_outputs(outputs)
    if outputs.out is not None:
        return _run_all(plan, plans, outputs, outputs.out)
    with tempfile.TemporaryDirectory(prefix="fastload-") as directory:
        return _run_all(plan, plans, outputs, Path(directory))


def running_order(plan: Plan) -> list[list[int]]:
    """Return the order of the targets in each iteration; the same plan gives the same order."""
    rng = random.Random(plan.prompts.seed)
    orders = []
    for _ in range(plan.contest.iterations):
        order = list(range(len(plan.targets)))
        if plan.contest.order == "random":
            rng.shuffle(order)
        orders.append(order)
    return orders


def _run_all(plan: Plan, plans: list[Plan], outputs: Outputs, out: Path) -> ExitCode:
    console = report_console(stderr=outputs.json_file == STDOUT)
    codes: set[ExitCode] = set()
    for iteration, order in enumerate(running_order(plan), 1):
        for index in order:
            target = plan.targets[index].name
            alone = plans[index] if plan.contest.seeds == "same" else reseeded(plans[index], iteration - 1)
            directory = out / target / str(iteration)
            _make(directory)
            step = run_step(alone, live=outputs.live and not outputs.quiet, out=directory)
            if step.interrupted:
                console.print(
                    f"interrupted in iteration {iteration} at {target}; nothing is compared", highlight=False, markup=False
                )
                return ExitCode.INTERRUPTED
            codes.add(step.code)
            if not outputs.quiet:
                _say(iteration, target, step.summary, console)
    entrants = [read_result(out / target.name, target.name) for target in plan.targets]
    _show(entrants, outputs)
    return next((code for code in (ExitCode.INVALID, ExitCode.ALL_FAILED, ExitCode.GATE_FAILED) if code in codes), ExitCode.OK)


def _show(entrants: list[Entrant], outputs: Outputs) -> None:
    # What differs between the targets' own settings is the user's question here, and INVALID runs are named in the table's warning.
    comparison = compare_results(entrants, force=True)
    show(comparison, outputs.json_file, quiet=outputs.quiet)


def _make(directory: Path) -> None:
    if (directory / "summary.json").exists():
        raise FastloadError(f"{directory} holds a result already", hint="give another -o DIR")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FastloadError(f"cannot make the directory {directory}", why=(error.strerror or str(error)).lower()) from None


def _say(iteration: int, target: str, summary: Summary, console: Console) -> None:
    ttft = summary.latency_ms.ttft
    line = f"{iteration:>3}  {target:<16} {summary.verdict.status:<8} TTFT p99 {ms(None if ttft is None else ttft.p99)}"
    console.print(f"{line}, {rate(summary.throughput.output_tokens_per_s)} output tokens/s", highlight=False, markup=False)
