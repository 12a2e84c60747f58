"""Metrics of other packages in a judged summary and in every report of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fastload import plugins
from fastload.report.custom import custom_lines
from fastload.report.files.json import write_summary
from fastload.report.markdown import markdown
from fastload.report.page.summary_page import html_report
from fastload.report.text import print_summary
from fastload.stats.result import Summary
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import collected, facts, record


class Tokens:
    """Output tokens, doubled; NaN for one of them."""

    name = "twice"
    unit = "<tokens>"
    definition = "output tokens, twice"

    def values(self, records: Any) -> Any:
        return np.where(records["output_tokens"] == 7, np.nan, records["output_tokens"] * 2.0)


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> Summary:
    monkeypatch.setattr(plugins, "_OFFERED", {("metrics", "twice"): Tokens()})
    rows = [record(output_tokens=tokens) for tokens in (10, 20, 30, 7)]
    return assess(facts(len(rows), 0, slo=("twice.max<50", "twice.p50<50")), collected(rows, []))[0]


def test_assessed(summary: Summary) -> None:
    """A gate on a metric asks for it; its quantiles are of the requests that have a value, and its gates decide."""
    assert summary.metrics is not None
    block = summary.metrics["twice"].quantiles
    assert block is not None
    assert (block.count, block.min, block.p50, block.max) == (3, 20, 40, 60)
    assert [(check.name, check.status, check.value) for check in summary.verdict.checks] == [
        ("twice.max", "FAIL", 60),
        ("twice.p50", "PASS", 40),
    ]
    assert (summary.verdict.status, summary.verdict.exit_code) == ("FAIL", 1)
    assert summary.throughput.goodput_per_s is None


def test_every_report_has_it(summary: Summary, tmp_path: Path) -> None:
    """The console's, the Markdown and the HTML report say the same line, each in its own writing."""
    pytest.importorskip("plotly")
    line = "twice (<tokens>): mean 40, p50 40, p90 60, p99 60, max 60 of 3 requests"
    assert custom_lines(summary) == [line]
    text = io.StringIO()
    print_summary(summary, Console(file=text, width=200))
    assert line in text.getvalue()
    write_summary(summary, tmp_path / "summary.json")
    assert "twice (\\<tokens\\>): mean 40" in markdown(summary)
    assert "twice (&lt;tokens&gt;): mean 40" in html_report(tmp_path)


def test_no_data_has_its_reason(summary: Summary) -> None:
    """A metric without values is told with the reason."""
    assert summary.metrics is not None
    failed = summary.metrics["twice"].model_copy(update={"quantiles": None, "error": "KeyError: 'x'"})
    assert custom_lines(summary.model_copy(update={"metrics": {"twice": failed}})) == ["twice (<tokens>): no data - KeyError: 'x'"]
