"""The console report and the JSON file say what the summary says, on any terminal, all or nothing."""

from __future__ import annotations

import io
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fastload.cli.main import run_command_line
from fastload.errors import FastloadError
from fastload.report import words
from fastload.report.files.json import read_summary, write_summary
from fastload.report.markdown import markdown
from fastload.report.text import print_summary
from fastload.samples.layout import Outcome
from fastload.stats.result import Summary
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import MS, SECOND, Token, collected, facts, failed, record, worker
from tests.unit.test_entrants import part, stored


def summary_of(rows: list[dict[str, Any]], **changes: Any) -> Summary:
    """Return the judged summary of a run with these requests and two gaps of 10 ms."""
    tokens = [Token(2 * SECOND, first=True), Token(2 * SECOND, 10 * MS), Token(3 * SECOND, 10 * MS)] if rows else []
    return assess(facts(len(rows), len(tokens), **changes), collected(rows, tokens))[0]


def printed(summary: Summary, width: int = 100, color: bool = False) -> str:
    """Return the report as it appears on a terminal of `width` columns."""
    text = io.StringIO()
    environment = {"TERM": "xterm-256color"} if color else {"TERM": "xterm-256color", "NO_COLOR": "1"}
    print_summary(summary, Console(file=text, width=width, force_terminal=True, _environ=environment))
    return text.getvalue()


def plain(summary: Summary, width: int = 100) -> str:
    """Return the report's words on one line."""
    text = io.StringIO()
    print_summary(summary, Console(file=text, width=width, force_terminal=False))
    return " ".join(text.getvalue().split())


def test_the_report_answers_at_a_glance() -> None:
    """What was run, how slow, how much, what failed, the gate, the trust, the one-line answer."""
    rows = [record(output_tokens=5, input_tokens=9)] * 3 + [failed(Outcome.HTTP_5XX, 503)]
    examples = {(int(Outcome.HTTP_5XX), 503): "overloaded"}
    report = plain(summary_of(rows, slo=("ttft.p99<800ms", "e2e.p50<50ms"), error_examples=examples), 200)

    for phrase in (
        "http://127.0.0.1:8000 mock", "10 users, 10.0 s measured", "4 requests: 3 completed, 1 failed, 0 cancelled",
        "TTFT 20.0 ms 20.0 ms 20.0 ms 20.0 ms 20.0 ms", "ITL 10.0 ms", "0.30 requests/s",
        "1 x http_5xx (HTTP 503): overloaded", "SLO PASS ttft.p99 20 ms < 800 ms (n=3)",
        "SLO FAIL e2e.p50 100 ms, wanted < 50 ms (n=3)", "RUN VALID lateness p99 1.00 ms, lost 0, stamp lag p99 10.0 µs",
        "workers 1/1", "first token after 20.0 ms", "100 tokens/s", "25 % of the requests failed", "The numbers are the server's.",
    ):  # fmt: skip
        assert phrase in report


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ({"users": 10}, "10 users, 10.0 s measured"),
        ({"users": 1}, "1 user, 10.0 s measured"),
        ({"rate": 20.0, "arrival": "poisson"}, "20 requests/s (poisson), 10.0 s measured"),
        ({"stages": "5@2s,10@9s", "duration_s": 11.0}, "stages 5@2s,10@9s of users, 10.0 s measured"),
    ],
)
def test_the_head_says_how_much_load(load: dict[str, Any], told: str) -> None:
    """A run at a rate or with stages is not told as the plan's unused number of users."""
    summary = summary_of([record()])
    plan = {**summary.run.plan, "load": {"duration_s": 11.0, "warmup_s": 1.0, **load}}
    found = summary.model_copy(update={"run": summary.run.model_copy(update={"plan": plan})})
    assert told in plain(found)
    assert told.replace("@", "&#64;") in markdown(found)


@pytest.mark.parametrize(
    ("requests", "told"), [(99, "(the slowest of 99 after 20.0 ms)"), (100, "(1 in 100 after 20.0 ms or more)")]
)
def test_one_in_a_hundred_takes_a_hundred(requests: int, told: str) -> None:
    """Of fewer requests the latest is told: their p99 is no more than that."""
    assert told in plain(summary_of([record()] * requests), 300)


@pytest.mark.parametrize(
    ("part", "changes", "told"),
    [
        ("requests", {"missed": 171}, "171 of 172 arrivals missed: they found no place"),
        ("requests", {"retried": 2}, "2 failed attempts followed by another, not counted as failed requests"),
        ("requests", {"shortened": 1}, "1 answer shorter than ignore_eos demanded, in no latency"),
        ("run", {"stop_reason": "stop rule errors>5%: 7%"}, "stopped early: stop rule errors>5%: 7%"),
        ("run", {"steady": "1 to 9 s of 11 s"}, "measured: the steady part, 1 to 9 s of 11 s"),
        ("run", {"interrupted": 1}, "stopped early by Ctrl-C"),
    ],
)
def test_the_ledger_hides_nothing(part: str, changes: dict[str, Any], told: str) -> None:
    """Load that was not made, attempts the counts leave out, and an early end are said wherever the counts are."""
    summary = summary_of([record()])
    found = summary.model_copy(update={part: getattr(summary, part).model_copy(update=changes)})
    assert told in plain(found)
    assert told in re.sub(r"\\(.)", r"\1", markdown(found))
    assert told not in plain(summary)


def test_an_invalid_run_says_so_and_why() -> None:
    """The gate is not judged, the reasons follow, and the last word is not to use the numbers."""
    report = plain(summary_of([record()], slo=("ttft.p99<800ms",), workers=(worker(died="signal 9"),)), 200)

    for phrase in ("SLO not judged ttft.p99", "RUN INVALID", "workers 0/1", "worker 0 died (signal 9)", "Do not use these numbers"):
        assert phrase in report


def test_a_run_without_anything_is_still_a_report() -> None:
    """No latency, no rates: it says so instead of showing zeros."""
    report = plain(summary_of([]))

    assert "no latency" in report
    assert "0.00 ms" not in report


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Also with long errors and reasons, and no number of the table is cut."""
    rows = [record(connect_ns=123 * MS), failed(Outcome.RESET)]
    summary = summary_of(rows, error_examples={(int(Outcome.RESET), 0): "peer " * 60}, reasons=("ports exhausted " * 10,))
    text = io.StringIO()
    print_summary(summary, Console(file=text, width=width, force_terminal=False))
    report = text.getvalue()

    assert max(map(len, report.splitlines())) <= width
    assert "E2E sched." in report
    assert "101 ms" in report


@pytest.mark.parametrize(("width", "columns"), [(60, ["mean", "p50", "p90", "p99", "max"]), (40, ["p50", "p99", "max"])])
def test_a_narrow_report_cuts_no_number(width: int, columns: list[str]) -> None:
    """Latencies lose columns, not digits, where there is no room for all of them."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(summary_of([record()] * 3), width))
    assert next(line.split()[1:] for line in text.splitlines() if line.startswith("latency")) == columns
    assert "…" not in text


def test_no_color_means_no_color() -> None:
    """With NO_COLOR there is no colour code; without it there is."""
    summary = summary_of([record(), failed(Outcome.RESET)])

    assert "\x1b[31m" not in printed(summary)
    assert "\x1b[31m" in printed(summary, color=True)


def test_a_servers_text_cannot_steer_the_terminal() -> None:
    """Escape codes, line breaks and markup in an error body arrive as harmless text."""
    evil = "\x1b]0;owned\x07[bold]x[/bold]\r\nnext"
    report = printed(summary_of([failed(Outcome.HTTP_4XX, 400)], error_examples={(int(Outcome.HTTP_4XX), 400): evil}))

    assert "\x1b]0;" not in report
    assert "\x07" not in report
    assert "[bold]x[/bold]" in report


def test_json_reads_back_equal(tmp_path: Path) -> None:
    """What was written is what is read, and nothing else is left beside it."""
    summary = summary_of([record(), failed(Outcome.TLS)], slo=("ttft.p99<800ms",))
    write_summary(summary, tmp_path / "summary.json")

    assert read_summary(tmp_path / "summary.json") == summary
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_json_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """`-` prints one JSON document and nothing else."""
    write_summary(summary_of([record()]), "-")

    assert json.loads(capsys.readouterr().out)["requests"]["completed"] == 1


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """Writing where no file can be made is an error that names the place."""
    with pytest.raises(FastloadError, match=r"missing/summary\.json"):
        write_summary(summary_of([]), tmp_path / "missing" / "summary.json")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "fastload/summary/9"}'])
def test_a_foreign_file_is_refused(tmp_path: Path, text: str) -> None:
    """What is no summary is one line with the schema's name."""
    (tmp_path / "x.json").write_text(text)

    with pytest.raises(FastloadError, match="fastload/summary/1"):
        read_summary(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0 ms"), (0.01234, "12.3 µs"), (0.9999, "1.00 ms"), (1.0, "1.00 ms"), (9.996, "10.0 ms"), (99.96, "100 ms"),
     (999.4, "999 ms"), (999.6, "1.00 s"), (125_000.0, "125 s")],
)  # fmt: skip
def test_durations_have_three_digits(value: float | None, text: str) -> None:
    """The unit follows the size; None is a dash."""
    assert text == words.ms(value)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "-"),
        (0.0, "0 %"),
        (1e-7, "<0.01 %"),
        (0.0123, "1.2 %"),
        (0.37, "37 %"),
        (0.9961, "99.6 %"),
        (0.9999, ">99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_percentages(ratio: float | None, text: str) -> None:
    """Small shares are not rounded to nothing, and large ones not to all."""
    assert text == words.percent(ratio)


@pytest.mark.parametrize(
    "command", [("compare", "--json"), ("compare", "--html"), ("report", "--html", "-o"), ("report", "--md", "-o")]
)
def test_what_is_no_file_stays_what_it_is(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A result that goes to a pipe or device is written into it; nothing is put in its place, which might be /dev/null."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    for name in ("x", "y"):
        own = part(name, 500)
        stored(tmp_path / name, own.facts, own.samples)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        results = [str(tmp_path / name) for name in ("x", "y")][: 2 if command[0] == "compare" else 1]
        assert run_command_line([command[0], *results, *command[1:], str(pipe)]) == 0
        assert "x" in read.result(timeout=60)
    assert pipe.is_fifo()
