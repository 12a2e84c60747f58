"""`fastload compare`: what differs between results beyond what chance would make, and an exit code for CI.

Reads what `-o DIR` kept and hands it to `fastload.stats.compare`; all results are held against the first. Invariant: results that
stand on different loads, or on an INVALID run, are compared only with `--force`, and the output says so then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastload.cli.entrants import Entrant, read_result, read_targets
from fastload.cli.grouped import FILE
from fastload.cli.options import debug_option
from fastload.cli.truth_table import print_comparison  # where the demo looks for its table
from fastload.errors import ExitCode, FastloadError
from fastload.report.files.documents import write_document

if TYPE_CHECKING:
    from fastload.stats.comparison_result import Comparison
    from fastload.verdict.fail_if import Rule

__all__ = ["Entrant", "command", "compare_endpoints", "compare_results", "print_comparison", "read_result", "show"]


@click.command(name="compare", short_help="Compare results: what differs beyond noise.")
@click.argument("results", metavar="A B [C...]", nargs=-1, required=True, type=FILE)
@click.option("--fail-if", metavar="RULE", multiple=True, help="Exit 1 if it holds, e.g. 'ttft.p99 worse by 5%'.")
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Write the comparison; - is stdout.")
@click.option("--html", "html_file", metavar="FILE", type=FILE, help="Write a page with plots; - is stdout.")
@click.option("--force", is_flag=True, help="Compare results that stand on different loads or are INVALID.")
@debug_option
def command(
    results: tuple[Path, ...], fail_if: tuple[str, ...], json_file: Path | None, html_file: Path | None, force: bool
) -> int:
    """Compare results: what differs beyond noise. All are held against the first.

    A result is a directory that `-o` named, or one of numbered ones (the iterations of a comparison). A single one with several
    targets is compared target by target. A rule holds when the difference is both larger than that and significant. Exit codes:
    0 done, 1 a --fail-if rule holds, 2 not comparable, 3 a result is INVALID.
    """
    from fastload.cli.outputs import STDOUT, SUMMARY_FILE, check_file
    from fastload.verdict.fail_if import parse_rule

    results = tuple(path.parent if path.name == SUMMARY_FILE else path for path in results)
    if json_file is not None and json_file == html_file:
        raise FastloadError(f"--json and --html both name {json_file}", hint="give each its own")
    for flag, file in (("--json", json_file), ("--html", html_file)):
        if file is not None and file != STDOUT:
            check_file(flag, file)
    rules = [parse_rule(text) for text in fail_if]
    if len(results) == 1:
        return show(compare_endpoints(results[0], rules, force=force), json_file, html_file)
    names = [path.resolve().name for path in results]
    if len(set(names)) < len(names):
        names = [str(path) for path in results]
    if len(set(names)) < len(names):
        raise FastloadError("a result is given twice", hint="compare two different ones")
    entrants = [read_result(path, name) for path, name in zip(results, names, strict=True)]
    return show(compare_results(entrants, rules, force=force), json_file, html_file)


def compare_results(entrants: Sequence[Entrant], rules: Sequence[Rule] = (), *, force: bool = False) -> Comparison:
    """Compare results with the first of them.

    Raises:
        FastloadError: they are not comparable and `force` is not given (exit 2, or 3 where one is INVALID).
    """
    from fastload.verdict.comparable import obstacles

    names = [entrant.contender.name for entrant in entrants for _ in entrant.summaries]
    summaries = [summary for entrant in entrants for summary in entrant.summaries]
    return _compared(entrants, rules, obstacles(names, summaries), paired=False, force=force)


def compare_endpoints(directory: Path, rules: Sequence[Rule] = (), *, force: bool = False) -> Comparison:
    """Compare the targets of one run with the first of them: a race or a mix, in which all ran at the same time.

    Raises:
        FastloadError: it has fewer than two targets, or is INVALID and `force` is not given.
    """
    from fastload.verdict.comparable import obstacles

    entrants = read_targets(directory)
    summary = entrants[0].summaries[0]
    return _compared(entrants, rules, obstacles([str(directory)], [summary]), paired=True, force=force)


def show(comparison: Comparison, json_file: Path | None, html_file: Path | None = None, *, quiet: bool = False) -> ExitCode:
    """Print and store a comparison; return the exit code that goes with it."""
    from fastload.cli.outputs import STDOUT, report_console
    from fastload.report.comparison import print_comparison as print_pairs
    from fastload.report.files.model_file import write_model

    if json_file == STDOUT:
        write_document(comparison.model_dump_json(by_alias=True, indent=2) + "\n")
    elif json_file is not None:
        write_model(comparison, json_file)
    if html_file is not None:
        from fastload.report.page.comparison_page import comparison_page, write_comparison_page

        if html_file == STDOUT:
            write_document(comparison_page(comparison))
        else:
            write_comparison_page(comparison, html_file)
    if not quiet:
        print_pairs(comparison, report_console(stderr=STDOUT in (json_file, html_file)))
    return ExitCode.GATE_FAILED if any(check.failed for check in comparison.checks) else ExitCode.OK


def _compared(entrants: Sequence[Entrant], rules: Sequence[Rule], reasons: list[str], *, paired: bool, force: bool) -> Comparison:
    from fastload.stats.compare import ALPHA, compare
    from fastload.stats.comparison_result import Comparison, Side
    from fastload.verdict.fail_if import judge_rule

    invalid = any(not summary.generator.valid for entrant in entrants for summary in entrant.summaries)
    if reasons and not force:
        raise FastloadError(
            f"not comparable: {reasons[0]}" + (f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""),
            why="a difference would say nothing about the server",
            hint="--force compares anyway",
            exit_code=ExitCode.INVALID if invalid else ExitCode.USAGE,
        )
    extra = [rule.subject for rule in rules if "." in rule.subject]
    first, *others = (entrant.contender for entrant in entrants)
    pairs = [compare(first, other, paired=paired, extra=extra) for other in others]
    return Comparison(
        alpha=ALPHA,
        sides=[
            Side(
                name=entrant.contender.name,
                runs=[summary.run.id for summary in entrant.summaries],
                valid=all(summary.generator.valid for summary in entrant.summaries),
            )
            for entrant in entrants
        ],
        forced=reasons,
        pairs=pairs,
        checks=[judge_rule(rule, pair) for pair in pairs for rule in rules],
    )
