"""One measured run, from a checked plan to its printed and stored result; `run` and `demo` share it.

Knows nothing of how a run is carried out. Invariant: stdout carries the report, or with `--json -` the summary and nothing else
(the report goes to stderr then); the live view is drawn on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from fastload.cli.flags_observe import NOTHING, Observing, beside, push_final
from fastload.cli.live_control import NO_CONTROLS, Controls, command_sources, conclude
from fastload.cli.outputs import STDOUT, Outputs, check_outputs, report_console
from fastload.cli.prepare import check_plan
from fastload.cli.report import add_page
from fastload.cli.store import store_junit, store_result, store_tokens, token_file
from fastload.engine.commands import CommandSource
from fastload.engine.supervisor import run_load
from fastload.errors import ExitCode
from fastload.plan.model import Plan
from fastload.report.files.json import write_summary
from fastload.report.live.view import LiveView
from fastload.report.text import print_summary
from fastload.stats.observed import observed
from fastload.stats.result import Summary
from fastload.verdict.decide import assess


def measure(
    plan: Plan,
    outputs: Outputs,
    wanted: Controls = NO_CONTROLS,
    observe: Observing = NOTHING,
    watchers: Sequence[CommandSource] = (),
) -> tuple[Summary, ExitCode]:
    """Run a plan, store and print its result; return the summary and the exit code that goes with it.

    `watchers` are shown the run while it goes on, beside the view and the sources of commands.

    Raises:
        FastloadError: the plan cannot be run or the result not be written.
    """
    check_plan(plan)
    check_outputs(outputs)
    tokens = token_file(outputs)
    drawn = outputs.live and not outputs.quiet
    with (
        LiveView(Console(stderr=True, force_terminal=None if drawn else False)) as view,
        command_sources(plan, wanted, view) as sources,
        beside(plan, observe) as aside,
    ):
        # Without a view no frames are asked for, so that nothing is computed that nobody sees.
        facts, collector = run_load(plan, view.update if view.active else None, [*sources, *watchers], aside, tokens)
        found = None if aside is None else aside.facts()
        servers, client = observed(found, facts, collector)
        summary, code = assess(facts, collector, client, servers)
        conclude(sources, summary, code)
    # Stored before it is printed: a closed pipe on stdout must not cost the result, nor a full disk the report.
    stored = False
    try:
        if outputs.out is not None:
            store_result(outputs.out, summary, facts, collector)
        if outputs.json_file is not None:
            write_summary(summary, outputs.json_file)
        if outputs.junit_file is not None:
            store_junit(outputs.junit_file, summary)
        stored = True
    finally:
        push_final(observe, summary)
        _report(outputs, summary, stored=stored)
    if outputs.out is not None and outputs.page:
        add_page(outputs.out, quiet=outputs.quiet)
    if tokens is not None:
        store_tokens(tokens, facts, collector)
    return summary, code


def _report(outputs: Outputs, summary: Summary, *, stored: bool) -> None:
    if outputs.quiet:
        return
    console = report_console(stderr=STDOUT in (outputs.json_file, outputs.junit_file))
    print_summary(summary, console)
    if outputs.out is not None and stored:
        console.print(f"result in {outputs.out}", highlight=False, markup=False)
