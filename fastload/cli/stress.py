"""`fastload stress`: raise the load step by step until the server gives in, and say which level was the best.

Every level is a run of its own, drained before the next, so that no level pays for the one before. Invariant: OUT/stress.json holds
every level that ended, whatever ended the ramp.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import GroupedCommand, option, output_options, plan_flags, plan_options
from fastload.errors import ExitCode, FastloadError
from fastload.report.files.documents import write_document

if TYPE_CHECKING:
    from fastload.cli.outputs import Outputs
    from fastload.plan.model import Plan
    from fastload.stats.search_result import CurvePoint, StressResult
    from fastload.verdict.stress import Rules, Stop

RESULT_FILE: Final = "stress.json"
_HEADING: Final = "Stress"


@click.command(cls=GroupedCommand, name="stress", short_help="Raise the load step by step until the server gives in.")
@option(_HEADING, "--over", type=click.Choice(["users", "rate"]), default="users", help="What is raised: users, or arrivals/s.")
@option(_HEADING, "--lowest", "start", metavar="N", type=float, default=20.0, help="First level (20).")
@option(_HEADING, "--highest", "top", metavar="N", type=float, default=200.0, help="Last level (200).")
@option(_HEADING, "--step", metavar="N", type=float, default=10.0, help="Added from level to level (10).")
@option(_HEADING, "--step-duration", "length", metavar="T", default="30s", help="Length of a level, warm-up included (30s).")
@option(_HEADING, "--error-threshold", "errors", metavar="P", default="10%", help="Stop above this share of failures (10%).")
@option(_HEADING, "--latency-threshold", "latency", metavar="T", default="10s", help="Stop above this TTFT p99 (10s).")
@option(_HEADING, "--min-throughput-ratio", "ratio", metavar="P", default="0.5", help="Stop below this part of the peak (0.5).")
@plan_options
@output_options
@click.pass_context
def command(
    context: click.Context,
    /,
    config: Path | None,
    out: Path | None,
    json_file: Path | None,
    no_live: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Raise the load step by step until the server gives in: errors, latency or throughput beyond their thresholds.

    Prints every level, the optimal one (highest throughput inside the rules) and the breaking one. --json writes stress.json.
    Exit codes: 0 done, broken or not, 3 the generator was the limit, 130 interrupted; the others are those of `run`.
    """
    from fastload.cli.laddered import base_plan, length_s, share
    from fastload.cli.outputs import Outputs, check_outputs
    from fastload.cli.prepare import check_plan
    from fastload.plan.load import load_plan
    from fastload.verdict.stress import Rules, levels

    over = flags["over"]
    plan = base_plan(load_plan(config, plan_flags(context)), plan_flags(context), over)
    ramp = levels(flags["start"], flags["top"], flags["step"])
    if over == "users" and not all(level.is_integer() for level in ramp):
        raise FastloadError("users come in whole numbers", hint="give whole --lowest, --highest and --step, or --over rate")
    rules = Rules(
        max_errors=share("--error-threshold", flags["errors"]),
        max_ttft_p99_ms=length_s("--latency-threshold", flags["latency"]) * 1e3,
        min_throughput=share("--min-throughput-ratio", flags["ratio"]),
    )
    outputs = Outputs(out, json_file, live=not no_live, quiet=quiet)
    check_plan(plan)
    check_outputs(outputs)
    return _Ramp(plan, over, rules, length_s("--step-duration", flags["length"]), outputs).run(ramp)


class _Ramp:
    """One ramp, from its first level to its result."""

    def __init__(self, plan: Plan, over: str, rules: Rules, length_s: float, outputs: Outputs) -> None:
        from fastload.cli.outputs import STDOUT, report_console

        self._plan = plan
        self._over: Any = over
        self._rules = rules
        self._length_s = length_s
        self._outputs = outputs
        self._console = report_console(stderr=outputs.json_file == STDOUT)
        self._points: list[CurvePoint] = []

    def run(self, ramp: list[float]) -> ExitCode:
        from fastload.verdict.stress import Stop, stop_after

        stop: Stop | None = None
        for level in ramp:
            try:
                point = self._level(level)
            except FastloadError as error:
                # A server that answered all levels so far and cannot be reached any more has given in.
                if error.exit_code is not ExitCode.UNREACHABLE or not self._points:
                    raise
                stop = Stop("unreachable", error.what)
                return self._finish(stop, broke_at=level)
            if point is None:
                self._finish(Stop("interrupt", "interrupted"), broke_at=None)
                return ExitCode.INTERRUPTED
            self._points.append(point)
            stop = stop_after(self._rules, self._points)
            if stop is not None and stop.broke:
                self._points[-1] = point.model_copy(update={"met": False, "reasons": [stop.text, *point.reasons]})
            self._say(self._points[-1])
            self._keep(stop)
            if stop is not None:
                return self._finish(stop, broke_at=level if stop.broke else None)
        return self._finish(Stop("top", "the highest level asked for was reached"), broke_at=None)

    def _level(self, level: float) -> CurvePoint | None:
        """Run one level; None when it was interrupted."""
        from fastload.cli.laddered import step_plan
        from fastload.cli.steps import run_step
        from fastload.stats.search_result import curve_point
        from fastload.verdict.search import judge_step

        number = len(self._points) + 1
        plan = step_plan(self._plan, self._over, level, self._length_s, number)
        step = run_step(plan, live=self._outputs.live and not self._outputs.quiet)
        if step.interrupted:
            return None
        result, reasons = judge_step(step.summary, self._over)
        return curve_point(step.summary, level, "level", result, reasons)

    def _say(self, point: CurvePoint) -> None:
        from fastload.report.capacity import step_line

        if not self._outputs.quiet:
            self._console.print(step_line(self._over, len(self._points), point))

    def _result(self, stop: Stop, broke_at: float | None) -> StressResult:
        from dataclasses import asdict

        from fastload.stats.search_result import StressResult
        from fastload.verdict.stress import optimal

        best = optimal(self._rules, self._points)
        return StressResult(
            over=self._over,
            rules=asdict(self._rules),
            curve=self._points,
            optimal=None if best is None else best.load,
            breaking=broke_at,
            stopped_by=stop.kind,
            reason=stop.text,
        )

    def _keep(self, stop: Stop | None) -> None:
        """Store the levels so far, as if the ramp were broken off here."""
        from fastload.report.files.model_file import write_model
        from fastload.verdict.stress import Stop

        if self._outputs.out is not None:
            write_model(self._result(stop or Stop("interrupt", "interrupted"), None), self._outputs.out / RESULT_FILE)

    def _finish(self, stop: Stop, broke_at: float | None) -> ExitCode:
        from fastload.cli.outputs import STDOUT
        from fastload.report.capacity import print_stress
        from fastload.report.files.model_file import write_model

        result = self._result(stop, broke_at)
        if self._outputs.out is not None:
            write_model(result, self._outputs.out / RESULT_FILE)
        if self._outputs.json_file == STDOUT:
            write_document(result.model_dump_json(by_alias=True, indent=2) + "\n")
        elif self._outputs.json_file is not None:
            write_model(result, self._outputs.json_file)
        if not self._outputs.quiet:
            self._console.print()
            print_stress(result, self._console)
        return ExitCode.INVALID if stop.kind == "generator" else ExitCode.OK
