"""The Markdown report and the command that chooses between reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastload.cli.main import run_command_line
from fastload.cli.report import add_page
from fastload.report.files.json import write_summary
from fastload.report.markdown import markdown, plain
from fastload.samples.layout import Outcome
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import collected, facts, failed, record


def test_markdown_says_what_the_summary_says() -> None:
    """Verdict, gate, latency, error and host, in the order of every report."""
    rows = [record(), failed(Outcome.HTTP_5XX, 503)]
    examples = {(int(Outcome.HTTP_5XX), 503): "overloaded"}
    summary = assess(facts(2, slo=("ttft.p99<800ms",), error_examples=examples), collected(rows))[0]
    text = markdown(summary)
    marks = ["**PASS** (run VALID)", "| PASS | ttft.p99 | 20 ms | \\< 800 ms | 1 |", "## What users felt", "| TTFT | 1 | 20.0 ms",
             "| 1 | http\\_5xx | 503 | overloaded |", "## Details", "| host | box"]  # fmt: skip
    assert [mark for mark in marks if mark not in text] == []
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_a_text_makes_no_markup() -> None:
    """A server's text keeps to its cell: no pipe, tag, emphasis, code, mention or line break of its own."""
    assert plain("a|b <c> *d* `e` @f\n# g") == r"a\|b \<c\> \*d\* \`e\` &#64;f \# g"


def test_every_row_has_its_columns() -> None:
    """Also with pipes in an error: all rows of a table have as many cells as its head."""
    examples = {(int(Outcome.RESET), 0): "x|y|z"}
    text = markdown(assess(facts(1, error_examples=examples), collected([failed(Outcome.RESET)]))[0])
    table = text[text.index("| count | kind") :].split("\n\n")[0]
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {5}


@pytest.mark.parametrize(("flag", "begin"), [("--md", "# mock at"), ("--json", "{"), ("--text", "fastload 0")])
def test_a_report_can_go_to_a_file(flag: str, begin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-o FILE` holds the report, and stdout nothing."""
    write_summary(assess(facts(1), collected([record()]))[0], tmp_path / "summary.json")
    assert run_command_line(["report", str(tmp_path), flag, "-o", str(tmp_path / "x")]) == 0
    assert (tmp_path / "x").read_text().startswith(begin)
    assert capsys.readouterr().out == ""


def test_html_goes_beside_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--html` writes DIR/report.html and prints where it is."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    write_summary(assess(facts(1), collected([record()]))[0], tmp_path / "summary.json")
    assert run_command_line(["report", str(tmp_path), "--html"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("quiet", "told"), [(False, 1), (True, 0)])
def test_a_page_that_cannot_be_made_costs_a_line(
    quiet: bool, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a run a missing library is one line on stderr that names the extra, none with --quiet, and no error."""
    write_summary(assess(facts(1), collected([record()]))[0], tmp_path / "summary.json")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    add_page(tmp_path, quiet=quiet)
    assert capsys.readouterr().err.count("fastload[report]") == told
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
