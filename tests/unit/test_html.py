"""The HTML page: order, escaping, its content security policy, what it does without data, and its size."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fastload.errors import FastloadError
from fastload.plan.load_section import Load
from fastload.report.answer import answer
from fastload.report.capacity import search_answer
from fastload.report.files.json import write_summary
from fastload.report.files.model_file import write_model
from fastload.report.files.requests_csv import write_requests_csv
from fastload.report.page.summary_page import html_report, write_html_report
from fastload.report.page.tables import step_table
from fastload.samples.layout import Outcome
from fastload.stats.result import Summary
from fastload.stats.search_result import StressResult
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import MS, SECOND, Token, collected, facts, failed, record, records, worker
from tests.unit.test_capacity import result
from tests.unit.test_stress import point

pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Elements and scripts as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self._type: str | None = None
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside, self._type = tag == "script", dict(attrs).get("type")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside and self._type is None:
            self.scripts.append(data)


def stored(directory: Path, rows: list[dict[str, Any]], **changes: Any) -> Summary:
    """Write a result with these requests as `-o` does."""
    tokens = [Token(2 * SECOND, first=True), Token(2 * SECOND, 10 * MS), Token(3 * SECOND, 10 * MS)] if rows else []
    about = facts(len(rows), len(tokens), **changes)
    summary = assess(about, collected(rows, tokens, len(about.plan.targets)))[0]
    write_summary(summary, directory / "summary.json")
    write_requests_csv(directory / "requests.csv", about, records(*rows))
    return summary


def words_of(page: str) -> str:
    """Return the page's text without its scripts, styles and tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bare).split())


def drawn(page: str) -> list[str]:
    """Return the names of the plots."""
    return re.findall(r'<div class="plot" id="([a-z0-9-]+)"', page)


def test_verdict_and_trust_come_first(tmp_path: Path) -> None:
    """From top to bottom: verdict, what users felt, what went wrong, plots, details."""
    stored(tmp_path, [record(), failed(Outcome.RESET)], slo=("ttft.p99<800ms",))
    text = words_of(html_report(tmp_path))
    marks = ["PASS", "VALID: the numbers are the server's.", "What users felt", "What went wrong", "Plots", "Details", "Host"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_an_invalid_run_says_so_and_why(tmp_path: Path) -> None:
    """The reasons stand in the verdict, gates are not judged."""
    stored(tmp_path, [record()], slo=("ttft.p99<800ms",), workers=(worker(died="signal 9"),))
    text = words_of(html_report(tmp_path))
    before = text[: text.index("What users felt")]
    assert "INVALID: do not use these numbers" in before
    assert "worker 0 died (signal 9)" in before
    assert "not judged" in before
    assert "PASS" not in before


def test_a_text_makes_no_element(tmp_path: Path) -> None:
    """Markup in a model's name, an endpoint's and an error adds no element to the page and no script, and is shown."""
    rows = [record(), record(endpoint=1), failed(Outcome.HTTP_4XX, 400)]
    (tmp_path / "plain").mkdir()
    (tmp_path / "evil").mkdir()
    for name, texts in (("plain", "x"), ("evil", EVIL)):
        about = facts(targets=("a", texts)).plan.model_copy(update={"model": texts})
        stored(tmp_path / name, rows, targets=("a", texts), plan=about, error_examples={(int(Outcome.HTTP_4XX), 400): texts})
    plain, evil = (html_report(tmp_path / name) for name in ("plain", "evil"))
    assert Elements(evil).tags == Elements(plain).tags
    assert len(Elements(evil).scripts) == 2
    assert words_of(evil).count("&lt;img src=x onerror=alert(1)&gt;") >= 4  # title, heading, error, plan


def test_only_the_two_scripts_may_run(tmp_path: Path) -> None:
    """The policy allows nothing but the scripts of the page by their hash: no other script and no address at all."""
    stored(tmp_path, [record()])
    page = html_report(tmp_path)
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert found is not None
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in Elements(page).scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    wanted = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    wanted += "; base-uri 'none'; form-action 'none'"
    assert found[1] == wanted
    assert len(digests) == 2


def test_every_plot_with_data_is_there(tmp_path: Path) -> None:
    """A run with tokens, prompts and an error has all plots of a single run."""
    stored(tmp_path, [record(input_tokens=9), record(input_tokens=90), failed(Outcome.RESET)])
    assert drawn(html_report(tmp_path)) == [
        "ttft-over-time", "e2e-over-time", "cdf", "tail", "histogram", "ttft-by-prompt", "stalls", "errors",
        "throughput", "load", "itl-over-time", "itl-by-in-flight",
    ]  # fmt: skip


def test_a_plot_without_data_is_left_out(tmp_path: Path) -> None:
    """Whole bodies have no TTFT and no gaps, and nothing failed: no empty plots of these."""
    stored(tmp_path, [record(flags=0, first_token_ns=0, first_answer_ns=0, last_token_ns=0, max_gap_ns=0, events=0)])
    names = drawn(html_report(tmp_path))
    assert "e2e-over-time" in names
    assert not {"ttft-over-time", "ttft-by-prompt", "stalls", "errors"} & set(names)


def test_a_run_without_requests_is_still_a_page(tmp_path: Path) -> None:
    """No latency, no plots of requests, no failure to make the page."""
    stored(tmp_path, [])
    page = html_report(tmp_path)
    assert "No latency" in words_of(page)
    assert "throughput" in drawn(page)


def test_without_requests_csv_the_timeline_is_drawn(tmp_path: Path) -> None:
    """A summary.json alone gives a page that says what is missing; only the quantiles of ITL are left of the distributions."""
    stored(tmp_path, [record(), failed(Outcome.RESET)])
    (tmp_path / "requests.csv").unlink()
    page = html_report(tmp_path / "summary.json")
    assert "requests.csv is not here" in words_of(page)
    assert drawn(page) == ["cdf", "tail", "throughput", "load", "errors", "itl-over-time", "itl-by-in-flight"]


def test_a_long_run_stays_below_6_mb(tmp_path: Path) -> None:
    """20,000 requests and every plot: the page is below 6 MB."""
    rows = [
        record(request_id=index, input_tokens=index % 977, sent_ns=record()["sent_ns"] + index * 1000, max_gap_ns=MS + index)
        for index in range(20_000)
    ]
    stored(tmp_path, rows)
    page = html_report(tmp_path)
    assert len(page.encode()) < 6_000_000
    assert "of 20,000 requests are drawn" in words_of(page)  # what is thinned out is said


def test_a_ramp_has_a_page(tmp_path: Path) -> None:
    """A directory that holds only stress.json gives its levels and the capacity curve."""
    curve = [point(load).model_copy(update={"load": load}) for load in (10.0, 20.0)]
    result = StressResult(
        over="users", rules={"max_errors": 0.1}, curve=curve, optimal=10, breaking=20, stopped_by="errors", reason=EVIL
    )
    write_model(result, tmp_path / "stress.json")
    page = html_report(tmp_path)
    assert drawn(page) == ["capacity-throughput", "capacity-latency"]
    assert "Breaking: 20 users" in words_of(page)
    assert "requests that may fail 10 %" in words_of(page)
    assert len(Elements(page).scripts) == 2


def test_what_a_search_found_stands_before_its_last_run(tmp_path: Path) -> None:
    """The terminal's sentence, the curve with the load that was found, and then what users felt at that load."""
    summary = stored(tmp_path, [record()])
    found = result()
    write_summary(summary.model_copy(update={"search": found}), tmp_path / "summary.json")
    page = html_report(tmp_path)
    assert found.best is not None
    marks = [search_answer(found).plain, "Capacity: where", "Steps", f"What users felt at {found.best.users} users", "Plots"]
    places = [html.unescape(words_of(page)).index(mark) for mark in marks]
    assert places == sorted(places)
    assert drawn(page)[:2] == ["capacity-throughput", "capacity-latency"]


def test_a_run_that_failed_is_not_called_valid_first(tmp_path: Path) -> None:
    """When every request failed the verdict says that, and only then that the numbers are the server's."""
    stored(tmp_path, [failed(Outcome.RESET)])
    text = words_of(html_report(tmp_path))
    assert text.index("FAIL: every request failed.") < text.index("VALID: the numbers")


def test_an_open_loop_has_no_users(tmp_path: Path) -> None:
    """The head names the rate or the stages that were asked for; the plan's one user is no load."""
    for load, words in (
        (Load(rate=12.5, duration_s=10.0), "12.5 requests/s (constant)"),
        (Load(stages="5/s@5s,5..60/s@10s"), "stages 5/s@5s,5..60/s@10s"),
        (Load(users=3), "3 users"),
    ):
        stored(tmp_path, [record()], plan=facts().plan.model_copy(update={"load": load}))
        head = words_of(html_report(tmp_path)).partition("VALID")[0]
        assert words in head
        assert "1 user," not in head


@pytest.mark.parametrize(("count", "few"), [(1, 4), (9, 4), (10, 3), (20, 2), (100, 1), (1000, 0)])
def test_a_quantile_of_too_few_is_marked(count: int, few: int, tmp_path: Path) -> None:
    """p90 takes 10 samples, p95 20, p99 100, p99.9 1000: of fewer it is the maximum, and set in italics."""
    stored(tmp_path, [record(request_id=number) for number in range(count)])
    row = re.search(r"<tr><td>E2E</td>.*?</tr>", html_report(tmp_path))
    assert row is not None
    assert row[0].count('class="n few"') == few


def test_targets_and_steps_of_few_are_marked(tmp_path: Path) -> None:
    """The p99 of each of two targets with 60 requests is in italics, though both have enough together; that of a short step too."""
    stored(tmp_path, [record(request_id=number, endpoint=number % 2) for number in range(120)], targets=("a", "b"))
    page = html_report(tmp_path)
    for name, few in (("a", 3), ("b", 2)):  # TTFT, E2E, and ITL of the one that has tokens
        row = re.search(rf"<tr><td>{name}</td>.*?</tr>", page)
        assert row is not None
        assert row[0].count("few") == few
    assert "few" in step_table("users", [point(10).model_copy(update={"requests": 99})])
    assert "few" not in step_table("users", [point(10).model_copy(update={"requests": 100})])


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "(one request)"), (99, "(the slowest of 99 after 20.0 ms)"), (100, "(1 in 100 after 20.0 ms or more)")],
)
def test_the_slowest_in_a_hundred_takes_a_hundred(count: int, words: str) -> None:
    """Of fewer requests the answer names the slowest."""
    assert words in answer(assess(facts(count), collected([record(request_id=number) for number in range(count)]))[0])


def test_everything_has_a_name(tmp_path: Path) -> None:
    """For who does not see: drawings and buttons have names, cells of a head say what they head, headings skip no level."""
    stored(tmp_path, [record()], slo=("ttft.p99<800ms",))
    page = html_report(tmp_path)
    assert len(re.findall(r'<div class="plot" id="[a-z0-9-]+" role="img" aria-label="[^"]{10,}"', page)) == len(drawn(page))
    body = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r"<button(?![^>]* aria-label=)", body) == []
    assert re.findall(r"<th(?![^>]* scope=)[ >]", body) == []
    assert (body.count("<main>"), body.count("</main>")) == (1, 1)
    levels = [int(level) for level in re.findall(r"<h([1-6])", body)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_without_scripts_there_is_no_room_for_plots(tmp_path: Path) -> None:
    """Where scripts are off the page says so, and leaves no empty space where plots would be."""
    stored(tmp_path, [record()])
    page = html_report(tmp_path)
    assert "<noscript><style>.plot{display:none}</style></noscript></head>" in page
    assert "The plots need JavaScript; the tables do not." in page


def test_without_the_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback: what to install, and nothing is written."""
    stored(tmp_path, [record()])
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(FastloadError, match=r"fastload\[report\]"):
        write_html_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the file."""
    stored(tmp_path, [record()])
    with pytest.raises(FastloadError, match=r"cannot write .*no/report\.html"):
        write_html_report(tmp_path, tmp_path / "no" / "report.html")
