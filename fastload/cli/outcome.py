"""What becomes of a load that is over: the verdict, the files, the report.

Knows nothing of how a load is carried out. Invariant: a result is stored before it is printed, and printed if it cannot be stored.
"""

from __future__ import annotations

from fastload.cli.flags_observe import Observing, push_final
from fastload.cli.outputs import STDOUT, Outputs, report_console
from fastload.cli.report import add_page
from fastload.cli.store import store_junit, store_result, store_tokens
from fastload.errors import ExitCode
from fastload.report.files.json import write_summary
from fastload.report.text import print_summary
from fastload.samples.token_file import TokenFile
from fastload.stats.aside_facts import AsideFacts
from fastload.stats.collector import Collector
from fastload.stats.facts import RunFacts
from fastload.stats.observed import observed
from fastload.stats.result import Summary
from fastload.verdict.decide import assess


def judge(facts: RunFacts, collector: Collector, found: AsideFacts | None) -> tuple[Summary, ExitCode]:
    """Return the summary of a load and the exit code that goes with it; `found` is what the process beside it saw."""
    servers, client = observed(found, facts, collector)
    return assess(facts, collector, client, servers)


def keep(
    outputs: Outputs, summary: Summary, facts: RunFacts, collector: Collector, observe: Observing, tokens: TokenFile | None
) -> None:
    """Write every file of a result that is wanted, then print the report.

    Raises:
        FastloadError: one cannot be written.
    """
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


def _report(outputs: Outputs, summary: Summary, *, stored: bool) -> None:
    if outputs.quiet:
        return
    console = report_console(stderr=STDOUT in (outputs.json_file, outputs.junit_file))
    print_summary(summary, console)
    if outputs.out is not None and stored:
        console.print(f"result in {outputs.out}", highlight=False, markup=False)
