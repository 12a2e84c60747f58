"""A merged result for people: its runs are named, and what was not measured is shaded."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fastload.cli.main import run_command_line
from fastload.cli.store import store_result
from fastload.report.markdown import markdown
from fastload.report.page.plots_data import Material
from fastload.report.text import render_summary
from fastload.stats.merge import merge_runs
from fastload.stats.result import Summary
from fastload.verdict.decide import assess
from tests.unit.test_entrants import part, stored


def merged(hours: int) -> Summary:
    """Return two runs, the second so many hours after the first."""
    return assess(*merge_runs([part("a", 500), part("b", 500, timedelta(hours=hours))]))[0]


def shown(summary: Summary) -> str:
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_summary(summary))
    return capture.get()


def test_the_text_names_every_run() -> None:
    """Each run is a line with its id, host and start; the plan's users, one host's share, are not said of the whole."""
    text = shown(merged(1))
    assert "merged: a from box, 2026-01-02T00:00:00 UTC" in text
    assert "merged: b from box, 2026-01-02T01:00:00 UTC" in text
    assert "10 users" not in text
    assert "20.0 s measured, 2.0 s warm-up, 2.0 s drain" in text


def test_markdown_names_every_run() -> None:
    """The runs are a list under the head."""
    assert "\n- merged: a from box\n- merged: b from box\n" in markdown(merged(0))


@pytest.mark.parametrize(
    ("hours", "spans"),
    [(0, [(0.0, 1.0), (11.0, 12.0)]), (1, [(0.0, 1.0), (11.0, 3601.0), (3611.0, 3612.0)])],
)
def test_what_was_not_measured_is_shaded(hours: int, spans: list[tuple[float, float]]) -> None:
    """Warm-up and drain of runs at once; of runs an hour apart the hour as well."""
    material = Material(merged(hours), None)
    assert material.outside_s() == spans
    assert material.windows_s() == [(left, right) for (_, left), (right, _) in pairwise(spans)]  # runs at once are one


def test_the_page_names_every_run(tmp_path: Path) -> None:
    """The page has a line for each run."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    from fastload.report.page.summary_page import html_report

    facts, samples = merge_runs([part("a", 500), part("b", 500)])
    store_result(tmp_path, assess(facts, samples)[0], facts, samples)
    page = html_report(tmp_path)
    assert "<p>merged: a from box, 2026-01-02 00:00:00 UTC</p>" in page
    assert 'id="itl-histogram"' in page


@pytest.mark.parametrize("flags", [(), ("--no-html",)])
def test_the_page_can_be_left_out(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """`merge` writes report.html beside the merged result, and none with `--no-html`; its other files are those of a run."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    for name in ("x", "y"):
        own = part(name, 500)
        stored(tmp_path / name, own.facts, own.samples)
    results = [str(tmp_path / name) for name in ("x", "y")]
    assert run_command_line(["merge", *results, "-o", str(tmp_path / "m"), "--quiet", *flags]) == 0
    kept = {"histograms.hlog", "histograms.npz", "requests.csv", "summary.json"}
    assert {path.name for path in (tmp_path / "m").iterdir()} == (kept if flags else {*kept, "report.html"})
