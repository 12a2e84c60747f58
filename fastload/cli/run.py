"""`fastload run`: load a server and report what was measured. The default command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastload.cli.flags_observe import observe_options, observing, refuse_beside_several
from fastload.cli.grouped import FILE
from fastload.cli.live_control import Controls, control_options, controls, refuse_several
from fastload.cli.options import GroupedCommand, option, output_options, plan_flags, plan_options
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.cli.outputs import Outputs
    from fastload.plan.model import Plan


@click.command(cls=GroupedCommand, name="run", short_help="Load a server and report what was measured.")
@plan_options
@output_options
@option("Result", "--no-html", is_flag=True, help="No report.html in -o DIR (fastload report DIR --html makes it later).")
@option("Result", "--tokens", is_flag=True, help="Keep every token in -o DIR: tokens.parquet.")
@option("Result", "--junit", metavar="FILE", type=FILE, help="Write the gates as JUnit XML; - is stdout.")
@option("Result", "--dry-run", is_flag=True, help="Print the schedule and the first requests; send nothing.")
@option("Result", "--sink", metavar="NAME", multiple=True, help="Tell this sink of another package, NAME[:ARG].")
@control_options
@observe_options
@click.pass_context
def command(
    context: click.Context,
    /,
    config: Path | None,
    out: Path | None,
    json_file: Path | None,
    no_live: bool,
    quiet: bool,
    no_html: bool,
    tokens: bool,
    junit: Path | None,
    dry_run: bool,
    sink: tuple[str, ...],
    control: str | None,
    web: str | None,
    control_token_env: str,
    no_control: bool,
    **_: object,
) -> int:
    """Load a server and report what was measured.

    Exit codes: 0 done and every gate held, 1 a gate failed, 2 usage or plan error, 3 the run is INVALID (the generator was the
    limit), 4 target unreachable, 5 every request failed, 130 interrupted twice. Ctrl-C once drains and reports.
    """
    from fastload.cli.heeded import refuse_unheeded
    from fastload.plan.load import load_plan

    flags = plan_flags(context)
    plan = load_plan(config, flags)
    refuse_unheeded(plan, flags, kept=out is not None)
    if dry_run:
        from fastload.cli.dry_run import dry_run_lines

        for line in dry_run_lines(plan):
            click.echo(line)
        return 0

    from fastload.cli.measure import measure
    from fastload.cli.outputs import Outputs
    from fastload.cli.telling import telling

    outputs = Outputs(out, json_file, live=not no_live, quiet=quiet, page=not no_html, tokens=tokens, junit_file=junit)
    wanted = controls(control, control_token_env, no_control, web)
    if len(plan.targets) > 1 and plan.contest.mode == "comparison":
        refuse_beside_several(context.params)
        return _comparison(plan, outputs, sink, wanted)
    with telling(sink) as sinks:
        summary, code = measure(plan, outputs, wanted, observing(plan, context.params), sinks)
        for one in sinks:
            one.finish(summary, out)
    if len(plan.targets) > 1 and plan.contest.mode == "race" and out is not None and not quiet:
        from fastload.cli.compare import compare_endpoints, show

        show(compare_endpoints(out), None, quiet=quiet)
    return code


def _comparison(plan: Plan, outputs: Outputs, sink: tuple[str, ...], wanted: Controls) -> int:
    """Run the plan's targets one after the other, where no flag is given that is about a single run."""
    from fastload.cli.contest import run_comparison

    if sink:
        raise FastloadError("--sink has no use in a comparison", why="it is several runs")
    if outputs.tokens or outputs.junit_file is not None:
        raise FastloadError("--tokens and --junit are of one run, not of a comparison", hint="run a target alone")
    refuse_several(wanted)
    return run_comparison(plan, outputs)
