"""`fastload search`: the highest number of users or rate that meets the SLOs.

Runs the steps that `fastload.verdict.search` asks for, each in a process of its own, and keeps them in OUT/search.json after each
one, so that `--resume` goes on where an interruption left off. Invariant: a step that was interrupted is not part of the search.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import GroupedCommand, option, output_options, plan_flags, plan_options
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.plan.model import Plan
    from fastload.stats.search_result import SearchState

STATE_FILE: Final = "search.json"
_HEADING: Final = "Search"


@click.command(cls=GroupedCommand, name="search", short_help="Find the highest load that meets the SLOs.")
@option(_HEADING, "--over", type=click.Choice(["users", "rate"]), default="users", help="What is raised: users, or arrivals/s.")
@option(_HEADING, "--lowest", "start", metavar="N", type=float, help="First load (1 user, or 1 request/s).")
@option(_HEADING, "--highest", "top", metavar="N", type=float, help="Highest load to try (65536).")
@option(_HEADING, "--precision", metavar="P", default="3%", help="Stop when the limit is known this well (3%).")
@option(_HEADING, "--step-duration", "step", metavar="T", default="20s", help="Length of a step, warm-up included (20s).")
@option(_HEADING, "--confirm-duration", "confirm", metavar="T", help="Length of the confirming run (twice a step).")
@option(_HEADING, "--resume", is_flag=True, help="Go on with the search that -o DIR holds.")
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
    """Find the highest load that meets the SLOs (--slo, or --rules, at least one).

    Doubles the load until it fails, halves the bracket, repeats the step that decides, and confirms with a longer run. A quarter of
    each step is warm-up, unless --warmup says otherwise. Exit codes: 0 found, 1 no load meets the SLOs, 3 the generator was the
    limit (the result is a lower bound), 130 interrupted (go on with --resume); the others are those of `run`.
    """
    from fastload.cli.laddered import base_plan
    from fastload.cli.outputs import Outputs, check_outputs
    from fastload.plan.load import load_plan

    plan = base_plan(load_plan(config, plan_flags(context)), plan_flags(context), flags["over"])
    if not plan.slo and not plan.rules:
        raise FastloadError("search needs to know what must hold", hint="give at least one --slo, e.g. --slo 'ttft.p99<800ms'")
    if flags["resume"] and out is None:
        raise FastloadError("--resume needs the directory of the search", hint="give it with -o DIR")
    state = _state(plan, flags)
    outputs = Outputs(out, json_file, live=not no_live, quiet=quiet)
    check_outputs(outputs)
    state = _resumed(state, outputs.out, resume=flags["resume"])
    return _Search(plan, state, outputs).run()


def _state(plan: Plan, flags: dict[str, Any]) -> SearchState:
    """Return a search that has not begun."""
    from fastload.cli.laddered import length_s, share
    from fastload.stats.search_result import SearchState
    from fastload.verdict.search import Question

    question = Question(flags["over"], flags["start"] or 1.0, flags["top"] or 65536.0, share("--precision", flags["precision"]))
    step_s = length_s("--step-duration", flags["step"])
    confirm_s = 2 * step_s if flags["confirm"] is None else length_s("--confirm-duration", flags["confirm"])
    if confirm_s < step_s:
        raise FastloadError("--confirm-duration is shorter than a step", why="a confirming run must be the better measurement")
    return SearchState(
        plan_hash=plan.plan_hash,
        over=question.over,
        start=question.start,
        top=question.top,
        precision=question.precision,
        step_s=step_s,
        confirm_s=confirm_s,
        rules=_rules(plan),
        curve=[],
    )


def _rules(plan: Plan) -> list[str]:
    """Return the plan's rules as texts, such as `no WARNING by llm-stress`."""
    level = f"no {plan.fail_on.upper()} by"
    return [
        f"{level} {rule}"
        if isinstance(rule, str)
        else f"{level} {rule.metric} ({', '.join(f'{name} {text}' for name, text in rule.thresholds.items()) or 'off'})"
        for rule in plan.rules
    ]


def _resumed(state: SearchState, out: Path | None, *, resume: bool) -> SearchState:
    """Return the search a directory holds, if it asks the same question; refuse to overwrite one unasked."""
    from fastload.report.files.model_file import read_model
    from fastload.stats.search_result import SearchState

    file = None if out is None else out / STATE_FILE
    if file is None or not file.exists():
        if resume:
            raise FastloadError(f"{file} is not there", why="there is no search to resume", hint="leave out --resume")
        return state
    if not resume:
        raise FastloadError(f"{file} holds a search already", hint="go on with --resume, or give another -o DIR")
    kept = read_model(SearchState, file)
    for name in SearchState.model_fields:
        if name not in ("curve", "top") and getattr(kept, name) != getattr(state, name):
            raise FastloadError(
                f"{file} holds another search: its {name} is {getattr(kept, name)}, not {getattr(state, name)}",
                hint="resume with the flags it was started with",
            )
    return state.model_copy(update={"curve": kept.curve})


class _Search:
    """One search, from its state to its result."""

    def __init__(self, plan: Plan, state: SearchState, outputs: Any) -> None:
        from fastload.cli.outputs import STDOUT, report_console
        from fastload.cli.prepare import check_plan
        from fastload.verdict.search import Question

        check_plan(plan)
        self._plan = plan
        self._state = state
        self._outputs = outputs
        self._question = Question(state.over, state.start, state.top, state.precision)
        self._console = report_console(stderr=outputs.json_file == STDOUT)

    def run(self) -> ExitCode:
        from fastload.verdict.search import Finding, Outcome, decide

        for number, point in enumerate(self._state.curve, 1):
            self._say(number, point)
        last: Any = None
        while True:
            history = [Outcome(point.load, point.phase, _result(point)) for point in self._state.curve]  # type: ignore[arg-type]
            decision = decide(self._question, history)
            if isinstance(decision, Finding):
                return self._finish(decision, last)
            last = self._step(decision)
            if last is None:
                return ExitCode.INTERRUPTED

    def _step(self, move: Any) -> Any:
        """Run one step and keep its point; None when it was interrupted."""
        from fastload.cli.laddered import step_plan
        from fastload.cli.steps import run_step
        from fastload.report.files.model_file import write_model
        from fastload.stats.search_result import curve_point
        from fastload.verdict.search import judge_step

        state, out = self._state, self._outputs.out
        number = len(state.curve) + 1
        confirming = move.phase == "confirm"
        length_s = state.confirm_s if confirming else state.step_s
        plan = step_plan(self._plan, state.over, move.load, length_s, number)
        live = self._outputs.live and not self._outputs.quiet
        step = run_step(plan, live=live, out=out if confirming else None)
        if step.interrupted:
            hint = f"go on with --resume -o {out}" if out is not None else "with -o DIR it could have been resumed"
            self._console.print(f"interrupted in step {number}; {hint}", highlight=False, markup=False)
            return None
        result, reasons = judge_step(step.summary, state.over)
        point = curve_point(step.summary, move.load, move.phase, result, reasons)
        self._state = state.model_copy(update={"curve": [*state.curve, point]})
        if out is not None:
            write_model(self._state, out / STATE_FILE)
        self._say(number, point)
        return step.summary

    def _say(self, number: int, point: Any) -> None:
        from fastload.report.capacity import step_line

        if not self._outputs.quiet:
            self._console.print(step_line(self._state.over, number, point))

    def _finish(self, finding: Any, last: Any) -> ExitCode:
        """Store and print the result; `last` is the summary of the last step, None when it was run before a resumption."""
        from fastload.cli.outputs import SUMMARY_FILE
        from fastload.report.capacity import print_search
        from fastload.report.files.json import read_summary, write_summary

        result = _search_result(self._plan, self._state, finding)
        out = self._outputs.out
        if last is None and finding.confirmed and out is not None:
            last = read_summary(out / SUMMARY_FILE)
        if last is not None:
            summary = type(last).model_validate({**dict(last), "search": result.model_dump(by_alias=True)})
            if out is not None:
                write_summary(summary, out / SUMMARY_FILE)
            if self._outputs.json_file is not None:
                write_summary(summary, self._outputs.json_file)
        if not self._outputs.quiet:
            self._console.print()
            print_search(result, self._console)
        if result.limited_by == "generator":
            return ExitCode.INVALID
        return ExitCode.GATE_FAILED if result.best is None else ExitCode.OK


def _result(point: Any) -> str:
    if not point.valid:
        return "invalid"
    return "met" if point.met else "failed"


def _search_result(plan: Plan, state: SearchState, finding: Any) -> Any:
    from fastload.stats.search_result import Best, Measured, SearchResult

    best = None
    if finding.best is not None:
        there = [point for point in state.curve if point.load == finding.best and point.met]
        numbers = {name: getattr(there[-1], name) for name in Measured.model_fields}
        load = {"users": round(finding.best), "rate": None} if state.over == "users" else {"users": None, "rate": finding.best}
        best = Best.model_validate({**load, **numbers})
    return SearchResult(
        over=state.over,
        slo=[*plan.slo, *state.rules],
        precision=state.precision,
        best=best,
        confirmed=finding.confirmed,
        limited_by=finding.limited_by,
        above=finding.above,
        curve=state.curve,
    )
