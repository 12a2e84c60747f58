"""`fastload report`: show the result of an earlier run again, as text, JSON, Markdown or a page with plots."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fastload.cli.options import debug_option
from fastload.errors import FastloadError
from fastload.report.files.documents import write_document

_FILE_COLUMNS = 132
"""Width of the text report in a file."""


@click.command(name="report", short_help="Show the result of an earlier run again.")
@click.argument("result", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--text", "as_text", is_flag=True, help="Print the report (the default).")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json, checked against the schema.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, for a ticket or a pull request.")
@click.option("--html", "as_html", is_flag=True, help="Write DIR/report.html: one file with plots, no network needed.")
@click.option("--convention", "rules", metavar="NAME", multiple=True, help="TTFT, TPOT, ITL by another tool's rules; all = each.")
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it to FILE; - is stdout.")
@debug_option
def command(
    result: Path, as_text: bool, as_json: bool, as_md: bool, as_html: bool, rules: tuple[str, ...], out: Path | None
) -> None:
    """Show the result of an earlier run again.

    DIR is what `-o` named; a summary.json itself does as well. The exit code says whether it could be read, not how the run went.
    --convention shows the latencies as vllm, aiperf, guidellm, sglang or inference-perf define them, beside ours.
    """
    asked = [name for name, on in (("--text", as_text), ("--json", as_json), ("--md", as_md), ("--html", as_html)) if on]
    if len(asked) > 1:
        raise click.UsageError(f"{asked[0]} and {asked[1]} contradict each other")
    if rules:
        if as_html or as_md:
            raise click.UsageError(f"--convention is shown as text or JSON, not with {asked[0]}")
        _conventions(result, rules, out, as_json=as_json)
        return
    if as_html:
        _html(result, out)
        return
    shown = _shown(result, asked[0] if asked else "--text", to_file=out is not None)
    if shown is not None and out is not None:
        _write(out, shown)


def _conventions(result: Path, rules: tuple[str, ...], out: Path | None, *, as_json: bool) -> None:
    from difflib import get_close_matches

    import orjson

    from fastload.cli.outputs import report_console
    from fastload.report.conventions import as_json as in_full
    from fastload.report.conventions import print_conventions, read_conventions
    from fastload.stats.conventions import RULES

    names = [name.strip() for text in rules for name in text.split(",")]
    for name in names:
        if name not in RULES and name != "all":
            close = get_close_matches(name, RULES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"conventions: {', '.join(RULES)}, all"
            raise FastloadError(f"no convention is called {name!r}", hint=hint)
    found = read_conventions(result, list(RULES) if "all" in names else list(dict.fromkeys(names)))
    if as_json:
        _write(Path("-") if out is None else out, orjson.dumps(in_full(found), option=orjson.OPT_INDENT_2).decode() + "\n")
    elif out is None:
        print_conventions(found, report_console())
    else:
        from io import StringIO

        from rich.console import Console

        page = StringIO()
        print_conventions(found, Console(file=page, width=_FILE_COLUMNS))
        _write(out, page.getvalue())


def _html(result: Path, out: Path | None) -> None:
    from fastload.cli.outputs import STDOUT
    from fastload.report.page.summary_page import REPORT_FILE, html_report, write_html_report

    if out == STDOUT:
        write_document(html_report(result))
        return
    place = out or (result if result.is_dir() else result.parent) / REPORT_FILE
    write_html_report(result, place)
    print(place)


def _shown(result: Path, kind: str, *, to_file: bool) -> str | None:
    """Print the report, or return it when it goes to a file."""
    from fastload.cli.outputs import STDOUT, SUMMARY_FILE, report_console
    from fastload.report.files.json import dump_summary, read_summary, write_summary

    summary = read_summary(result / SUMMARY_FILE if result.is_dir() else result)
    if kind == "--json":
        if to_file:
            return dump_summary(summary)
        write_summary(summary, STDOUT)
        return None
    if kind == "--md":
        from fastload.report.markdown import markdown

        if to_file:
            return markdown(summary)
        write_document(markdown(summary))
        return None
    from fastload.report.text import print_summary

    if not to_file:
        print_summary(summary, report_console())
        return None
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    print_summary(summary, Console(file=page, width=_FILE_COLUMNS))
    return page.getvalue()


def _write(out: Path, shown: str) -> None:
    if str(out) == "-":
        write_document(shown)
        return
    try:
        out.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise FastloadError(f"cannot write {out}: {error.strerror or error}", hint="give another -o FILE") from None


def add_page(out: Path, *, quiet: bool) -> None:
    """Write `report.html` beside a result that is stored; where that fails say so in a line on stderr.

    Nothing that goes wrong with the page may cost the run its exit code.
    """
    try:
        from fastload.report.page.summary_page import REPORT_FILE, write_html_report

        write_html_report(out, out / REPORT_FILE)
    except Exception as error:
        if not quiet:
            print(f"fastload: no report.html: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
