"""`fastload report`: print the result of an earlier run again."""

from __future__ import annotations

from pathlib import Path

import click

from fastload.cli.options import debug_option


@click.command(name="report", short_help="Print the result of an earlier run again.")
@click.argument("result", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--text", "as_text", is_flag=True, help="Print the report (the default).")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json, checked against the schema.")
@debug_option
def command(result: Path, as_text: bool, as_json: bool) -> None:
    """Print the result of an earlier run again.

    DIR is what `-o` named; a summary.json itself does as well. The exit code says whether it could be read, not how the run went.
    """
    if as_text and as_json:
        raise click.UsageError("--text and --json contradict each other")

    from fastload.cli.outputs import SUMMARY_FILE, report_console
    from fastload.report.json import STDOUT, read_summary, write_summary
    from fastload.report.text import print_summary

    summary = read_summary(result / SUMMARY_FILE if result.is_dir() else result)
    if as_json:
        write_summary(summary, STDOUT)
    else:
        print_summary(summary, report_console())
