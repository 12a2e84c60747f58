"""The sides of a comparison as they are read: the run's own window, a merged result's stretches, the gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fastload.cli.entrants import read_result, read_targets, run_directories
from fastload.cli.store import store_result
from fastload.errors import FastloadError
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.stats.compare import compare
from fastload.stats.comparison_result import Pair
from fastload.stats.facts import RunFacts
from fastload.stats.merge import Part, merge_runs
from fastload.stats.result import Summary
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import END, EPOCH, MS, SECOND, WINDOW, Token, collected, facts, record


def part(run_id: str, every_ms: int, later: timedelta = timedelta(0), targets: tuple[str, ...] = ("default",)) -> Part:
    """Return a run with a request of five tokens every so often, all over its load."""
    rows, tokens = [], []
    for number, at in enumerate(range(EPOCH + 7, EPOCH + 11 * SECOND, every_ms * MS)):
        endpoint = number % len(targets)
        rows.append(record(sent_ns=at, output_tokens=5, request_id=number, endpoint=endpoint))
        tokens += [Token(at - EPOCH + (20 + 10 * n) * MS, (8 + n) * MS, first=n == 0, endpoint=endpoint) for n in range(5)]
    own = facts(len(rows), len(tokens), targets=targets, run_id=run_id, user_samples=())
    return Part(replace(own, started_at=own.started_at + later), collected(rows, tokens, len(targets)))


def stored(out: Path, facts_: RunFacts, samples: object) -> Summary:
    out.mkdir()
    summary = assess(facts_, samples)[0]  # type: ignore[arg-type]
    store_result(out, summary, facts_, samples)  # type: ignore[arg-type]
    return summary


def values(pair: Pair) -> dict[str, float | None]:
    return {row.metric: row.a for row in pair.differences}


def told(summary: Summary) -> dict[str, float | None]:
    """Return what the summary says of some of the metrics compared."""
    itl, ttft, through = summary.latency_ms.itl, summary.latency_ms.ttft, summary.throughput
    assert itl is not None
    assert ttft is not None
    return {
        "itl.p50": itl.p50,
        "itl.mean": itl.mean,
        "ttft.p99": ttft.p99,
        "requests_per_s": through.requests_per_s,
        "output_tokens_per_s": through.output_tokens_per_s,
    }


@pytest.mark.parametrize("hours", [0, 1])
def test_a_merged_result_is_compared_where_it_was_measured(tmp_path: Path, hours: int) -> None:
    """Runs at once are one stretch of time, runs an hour apart are two; either way the values are the merged summary's."""
    parts = [part("a", 20), part("b", 33, timedelta(hours=hours))]
    summary = stored(tmp_path / "m", *merge_runs(parts))
    side = read_result(tmp_path / "m", "m").contender
    assert [end - start for start, end in (run.window_ns for run in side.runs)] == [10 * SECOND] * (1 + hours)
    pair = compare(side, replace(side, name="n"))
    for metric, value in told(summary).items():
        assert values(pair)[metric] == pytest.approx(value), metric
    assert pair.untested is None
    assert not any(row.difference for row in pair.differences)


def test_a_request_counts_in_the_window_of_its_own_run(tmp_path: Path) -> None:
    """Of two runs at once one was measured for 4 s only: what it finished after that is in no rate, as in the merged summary."""
    whole, short = part("a", 20), part("b", 33)
    short = replace(short, facts=replace(short.facts, window_end_ns=EPOCH + 5 * SECOND))
    summary = stored(tmp_path / "m", *merge_runs([whole, short]))
    side = read_result(tmp_path / "m", "m").contender
    found = values(compare(side, replace(side, name="n")))
    assert found["requests_per_s"] == pytest.approx(summary.throughput.requests_per_s)
    assert found["output_tokens_per_s"] == pytest.approx(summary.throughput.output_tokens_per_s)


def test_iterations_are_a_run_each(tmp_path: Path) -> None:
    """A directory of numbered results is their iterations in order, with the gaps of all of them."""
    (tmp_path / "all").mkdir()
    runs = [part("a", 20), part("b", 33)]
    for number, run in zip(("10", "9"), runs, strict=True):
        stored(tmp_path / "all" / number, run.facts, run.samples)
    entrant = read_result(tmp_path / "all", "all")
    assert [path.name for path in run_directories(tmp_path / "all")] == ["9", "10"]
    assert [summary.run.id for summary in entrant.summaries] == ["b", "a"]
    assert entrant.contender.gaps is not None
    assert entrant.contender.gaps[0].sum() == sum(run.samples.gaps()[0].sum() for run in runs)


def test_the_window_is_the_runs_own(tmp_path: Path) -> None:
    """A steady part that ends before the load does is compared as that, not as the end of the load."""
    run = part("a", 20)
    stored(tmp_path / "r", replace(run.facts, window_end_ns=EPOCH + 6 * SECOND, steady="seconds 1 to 6"), run.samples)
    side = read_result(tmp_path / "r", "r").contender
    assert side.runs[0].window_ns == (LOAD_START_NS + SECOND, LOAD_START_NS + 6 * SECOND)
    assert WINDOW[1] < END


def test_results_without_histograms_have_no_gaps(tmp_path: Path) -> None:
    """A result of an earlier version is compared by its requests, over the end of its load, and has no ITL."""
    run = part("a", 20)
    stored(tmp_path / "r", run.facts, run.samples)
    (tmp_path / "r" / "histograms.npz").unlink()
    side = read_result(tmp_path / "r", "r").contender
    assert side.gaps is None
    assert side.runs[0].window_ns == (LOAD_START_NS + SECOND, LOAD_START_NS + 11 * SECOND)
    assert not [row for row in compare(side, replace(side, name="s")).differences if row.metric.startswith("itl")]


def test_targets_have_their_own_gaps_untested(tmp_path: Path) -> None:
    """Each target of one run is a side with its own ITL, which is shown and not tested."""
    run = part("a", 20, targets=("x", "y"))
    summary = stored(tmp_path / "r", run.facts, run.samples)
    x, y = (entrant.contender for entrant in read_targets(tmp_path / "r"))
    row = next(row for row in compare(x, y, paired=True).differences if row.metric == "itl.p50")
    itl = summary.endpoints["x"].latency_ms.itl
    assert itl is not None
    assert (row.a, row.n_a, row.p) == (itl.p50, itl.count, None)


def test_no_result_is_one_line(tmp_path: Path) -> None:
    """A directory without a result, and one with a single target where several are asked for, say so."""
    with pytest.raises(FastloadError, match="holds no result"):
        read_result(tmp_path, "x")
    run = part("a", 20)
    stored(tmp_path / "r", run.facts, run.samples)
    with pytest.raises(FastloadError, match="single target"):
        read_targets(tmp_path / "r")


@pytest.mark.parametrize("name", ["requests.csv", "histograms.npz"])
def test_files_of_two_runs_are_not_compared(tmp_path: Path, name: str) -> None:
    """Requests or gaps of another run than the summary's would be a difference between files, not between servers."""
    for run_id, every_ms in (("a", 20), ("b", 33)):
        own = part(run_id, every_ms)
        stored(tmp_path / run_id, own.facts, own.samples)
    (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    with pytest.raises(FastloadError, match="do not belong together"):
        read_result(tmp_path / "a", "a")


def test_a_directory_of_several_targets_says_what_to_name(tmp_path: Path) -> None:
    """What `-o` of a comparison named holds results of its targets: the line names them."""
    for name in ("a", "b"):
        (tmp_path / "all" / name).mkdir(parents=True)
        own = part(name, 500)
        stored(tmp_path / "all" / name / "1", own.facts, own.samples)
    with pytest.raises(FastloadError, match=f"holds the results of 2 targets: name {tmp_path}/all/a and {tmp_path}/all/b"):
        run_directories(tmp_path / "all")
