"""`fastload merge`: the results of several hosts or runs as one result, computed as if it had been one run.

Reads what `-o` kept, hands it to `fastload.stats.merge` and `assess`, and stores what comes out as any run's result is. Invariant:
what is merged stands on one load, or `--force` was given; a merged result can be reported, compared and merged again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastload.cli.grouped import FILE
from fastload.cli.options import debug_option
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.report.files.stored_run import StoredRun


@click.command(name="merge", short_help="Put results of several hosts or runs together into one.")
@click.argument("results", metavar="A B [C...]", nargs=-1, required=True, type=FILE)
@click.option("-o", "--out", metavar="DIR", type=FILE, required=True, help="Directory of the merged result.")
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Write the merged summary; - is stdout.")
@click.option("--quiet", is_flag=True, help="No report, only errors.")
@click.option("--no-html", is_flag=True, help="No report.html in -o DIR (fastload report DIR --html makes it later).")
@click.option("--force", is_flag=True, help="Merge results that stand on different loads.")
@debug_option
def command(results: tuple[Path, ...], out: Path, json_file: Path | None, quiet: bool, no_html: bool, force: bool) -> int:
    """Put results of several hosts or runs together into one.

    A result is a directory that `-o` named, or one of numbered ones (the iterations of a comparison). Counts and histograms add up,
    rates are over the time in which any of them was measured, gates are judged anew. Exit codes: 0 done, 1 a gate failed, 2 they
    cannot be merged, 3 one of them is INVALID, 5 every request failed.
    """
    from fastload.cli.entrants import run_directories
    from fastload.cli.outputs import STDOUT, Outputs, check_outputs, forget_tokens, report_console
    from fastload.cli.report import add_page
    from fastload.cli.store import store_result
    from fastload.report.files.json import write_summary
    from fastload.report.text import print_summary
    from fastload.stats.merge import Part, merge_runs
    from fastload.verdict.decide import assess

    directories = [run for path in results for run in run_directories(path)]
    if len(directories) < 2:
        raise FastloadError(f"{results[0]} is a single result", why="there is nothing to merge it with", hint="give a second one")
    if out.resolve() in [directory.resolve() for directory in directories]:
        raise FastloadError(f"-o {out} is one of the results to be merged", why="it would be overwritten", hint="name another")
    runs = _read(directories, force)
    check_outputs(Outputs(out, json_file))
    try:
        facts, samples = merge_runs([Part(run.facts, run.samples, tuple(run.summary.generator.reasons)) for run in runs])
    except ValueError as error:
        raise FastloadError(f"these results cannot be merged: {error}") from None
    summary, code = assess(facts, samples)
    forget_tokens(out)
    store_result(out, summary, facts, samples)
    if json_file is not None:
        write_summary(summary, json_file)
    if not quiet:
        console = report_console(stderr=json_file == STDOUT)
        print_summary(summary, console)
        console.print(f"result in {out}", highlight=False, markup=False)
    if not no_html:
        add_page(out, quiet=quiet)
    return code if code != ExitCode.INTERRUPTED else ExitCode.INVALID


def _read(directories: Sequence[Path], force: bool) -> list[StoredRun]:
    from fastload.report.files.stored_run import read_run
    from fastload.verdict.comparable import merge_obstacles

    runs = [read_run(directory) for directory in directories]
    reasons = merge_obstacles([str(directory) for directory in directories], [run.summary for run in runs])
    if reasons and not force:
        raise FastloadError(
            f"not one load: {reasons[0]}" + (f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""),
            why="the numbers would belong to neither",
            hint="--force merges anyway",
        )
    return runs
